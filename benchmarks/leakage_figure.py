"""Leakage over accuracy, for ``leakage.py``: a curve of one protocol as it learns, and points of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedprivacy.metrics.intervals import mean_interval
from fedprivacy.reporting.figures.style import colour, drawing, marker, to_png


@dataclass(frozen=True)
class Point:
    """One protocol and adversary: test accuracy and AUC of each seed."""

    label: str
    active: bool
    accuracy: list[float]
    auc: list[float]


def figure(curve: Sequence[Point], points: Sequence[Point], task: str, level: float) -> bytes:
    """As PNG; filled: an active adversary. Points with intervals at ``level`` over seeds, the curve without."""
    curve = sorted(curve, key=lambda point: float(np.mean(point.accuracy)))
    labels = list(dict.fromkeys(point.label for point in points))
    with drawing(7.2, 5.0) as made:
        axes = made.add_subplot()
        axes.axhline(0.5, color="#444444", lw=1)
        x, y = (
            [float(np.mean(values)) for values in one]
            for one in zip(*((p.accuracy, p.auc) for p in curve), strict=True)
        )
        axes.plot(x, y, "-", color="#000000", marker=".", label="FedAvg after 1, 2, 3, 4, 6, 8, 12 rounds")
        for point in points:
            shade = colour(labels.index(point.label))
            auc, use = (mean_interval(values, level, (0.0, 1.0)) for values in (point.auc, point.accuracy))
            axes.errorbar(
                use.value,
                auc.value,
                xerr=[[use.value - use.low], [use.high - use.value]],
                yerr=[[auc.value - auc.low], [auc.high - auc.value]],
                fmt=marker(labels.index(point.label)),
                color=shade,
                markerfacecolor=shade if point.active else "white",
                elinewidth=1,
                label=f"{point.label}, {'active' if point.active else 'passive'} server",
            )
        axes.set_xlabel("test accuracy")
        axes.set_ylabel("AUC of membership (0.5: chance)")
        axes.set_title(f"{task}: what the server learns, over what the models learn", loc="left")
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return to_png(made)
