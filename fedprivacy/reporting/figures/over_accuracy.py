"""Leakage over accuracy: averaging as it learns, and points of other protocols, one mark a seat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from fedprivacy.metrics.intervals import Interval, mean_interval
from fedprivacy.reporting.figures.style import colour, drawing, marker, to_png


@dataclass(frozen=True)
class Point:
    """One protocol from one seat: test accuracy and AUC of each seed."""

    label: str
    seat: str
    accuracy: Sequence[float]
    auc: Sequence[float]


def over_accuracy_figure(curve: Sequence[Point], points: Sequence[Point], task: str, level: float) -> bytes:
    """What :func:`over_accuracy` draws, as PNG."""
    return to_png(over_accuracy(curve, points, task, level))


def over_accuracy(
    curve: Sequence[Point], points: Sequence[Point], task: str, level: float, metric: str = "test accuracy"
) -> Figure:
    """A colour a protocol, a mark a seat. Points with intervals at ``level`` over several seeds, the curve without."""
    curve = sorted(curve, key=lambda point: float(np.mean(point.accuracy)))
    labels = list(dict.fromkeys(point.label for point in points))
    seats = list(dict.fromkeys(point.seat for point in points))
    with drawing(8.2, 5.2) as made:
        axes = made.add_subplot()
        axes.axhline(0.5, color="#444444", lw=1)
        if curve:
            x = [float(np.mean(point.accuracy)) for point in curve]
            y = [float(np.mean(point.auc)) for point in curve]
            axes.plot(x, y, "-", color="#000000", marker=".", label=f"{curve[0].label}, stopped, {curve[0].seat}")
        for point in points:
            shade, place = colour(labels.index(point.label)), seats.index(point.seat)
            auc, use = (mean_interval(values, level, (0.0, 1.0)) for values in (point.auc, point.accuracy))
            axes.errorbar(
                use.value,
                auc.value,
                xerr=_ends(use, len(point.accuracy)),
                yerr=_ends(auc, len(point.auc)),
                fmt=marker(place),
                color=shade,
                markerfacecolor="white" if place == 0 else shade,
                elinewidth=1,
                label=f"{point.label}, {point.seat}",
            )
        axes.set_xlabel(metric)
        axes.set_ylabel("AUC of membership (0.5: chance)")
        axes.set_title(f"{task}: what each seat learns, over what the models learn", loc="left")
        axes.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return made


def _ends(estimate: Interval, seeds: int) -> list[list[float]] | None:
    """How far the ends of an interval lie from its value; one seed has none."""
    if seeds < 2:
        return None
    return [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]
