"""Leakage over accuracy: averaging as it learns, and points of other protocols, a panel a seat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
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
    """A panel a seat, a colour and a mark a protocol. Points with intervals at ``level`` over several seeds, the curve
    without: one line of a seat's panel. Without a point there is one empty panel that says so.
    """
    labels = list(dict.fromkeys(point.label for point in points))
    seats = list(dict.fromkeys(point.seat for point in (*curve, *points))) or ["nothing was measured"]
    with drawing(2.0 + 3.2 * len(seats), 4.6) as made:
        panels = made.subplots(1, len(seats), sharex=True, sharey=True, squeeze=False)[0]
        for axes, place in zip(panels, seats, strict=True):
            axes.axhline(0.5, color="#444444", lw=1)
            _line(axes, [point for point in curve if point.seat == place])
            for point in points:
                if point.seat == place:
                    _mark(axes, point, labels.index(point.label), level)
            axes.set_title(place, loc="left")
            axes.set_xlabel(metric)
        panels[0].set_ylabel("AUC of membership (0.5: chance)")
        made.suptitle(f"{task}: what each seat learns, over what the models learn", x=0.01, ha="left", fontsize=11)
        named = {name: mark for axes in panels for mark, name in zip(*axes.get_legend_handles_labels(), strict=True)}
        made.legend(named.values(), named.keys(), fontsize=8, frameon=False, loc="outside right center")
        return made


def _line(axes: Axes, curve: Sequence[Point]) -> None:
    """What averaging leaks as it learns, from one seat."""
    if not curve:
        return
    x, y = ([float(np.mean(values)) for values in of] for of in zip(*((p.accuracy, p.auc) for p in curve), strict=True))
    places = np.argsort(x)
    drawn = [x[place] for place in places], [y[place] for place in places]
    axes.plot(*drawn, "-", color="#000000", marker=".", label=f"{curve[0].label}, stopped")


def _mark(axes: Axes, point: Point, number: int, level: float) -> None:
    auc, use = (mean_interval(values, level, (0.0, 1.0)) for values in (point.auc, point.accuracy))
    axes.errorbar(
        use.value,
        auc.value,
        xerr=_ends(use, len(point.accuracy)),
        yerr=_ends(auc, len(point.auc)),
        fmt=marker(number),
        color=colour(number),
        markersize=5,
        elinewidth=1,
        label=point.label,
    )


def _ends(estimate: Interval, seeds: int) -> list[list[float]] | None:
    """How far the ends of an interval lie from its value; one seed has none."""
    if seeds < 2:
        return None
    return [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]
