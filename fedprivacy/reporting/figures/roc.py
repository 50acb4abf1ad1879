"""ROC on log axes with confidence bands: what an attack can do without many false alarms.

After Carlini et al., "Membership Inference Attacks From First Principles" (2022), who drew it without bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from fedprivacy.metrics.chance import tpr_chance
from fedprivacy.metrics.intervals import Interval
from fedprivacy.metrics.roc import auc, roc_curve
from fedprivacy.metrics.scores import Float
from fedprivacy.metrics.tpr_interval import tpr_interval
from fedprivacy.reporting.figures.style import BAND, colour, dash, drawing, say, shortened, to_png
from fedprivacy.reporting.text import clean, fixed
from fedprivacy.reporting.text import level as level_words

GRID = 60
MOST_BANDS = 3


@dataclass(frozen=True, eq=False)
class RocSeries:
    """Scores of one attack: ``members`` [n1] and ``non_members`` [n0], higher says member. No NaN."""

    label: str
    members: ArrayLike
    non_members: ArrayLike


def roc(curves: Sequence[RocSeries], level: float = 0.95, title: str = "") -> Figure:
    """ROC curves on log-log axes.

    Up to three curves, and of more the first, have their pointwise band at ``level``, valid for any score
    distribution. The grey band around the chance diagonal is what the smallest sample reads without leakage. Scores
    with NaN raise ValueError.
    """
    with drawing(5.6, 4.7 + 0.2 * len(curves)) as figure:
        axes = figure.add_subplot()
        if not curves:
            say(axes, "No scores to draw.")
            return figure
        sizes = [(np.size(c.members), np.size(c.non_members)) for c in curves]
        left = 0.5 / max(n0 for _, n0 in sizes)
        bottom = 0.5 / max(n1 for n1, _ in sizes)
        n1, n0 = min(sizes, key=min)
        grid = _grid(n0)
        chance = [tpr_chance(n1, n0, float(f), level) for f in grid]
        _fill(axes, grid, chance, bottom, BAND, 0.55)
        chance_label = f"no leakage, with its {level_words(level)} band in grey"
        axes.plot([left, 1], [left, 1], color="#444444", lw=1, label=chance_label)
        banded = MOST_BANDS if len(curves) <= MOST_BANDS else 1
        for number, curve in enumerate(curves):
            _draw(axes, number, curve, level, (left, bottom), band=number < banded)
        axes.set(xscale="log", yscale="log", xlim=(left, 1), ylim=(bottom, 1.05))
        axes.set_xlabel("false positive rate (non-members called members)")
        axes.set_ylabel("true positive rate (members recognised)")
        axes.set_title(clean(title) or f"Membership, {level_words(level)} bands", loc="left")
        axes.grid(True, which="major", color="#DDDDDD", lw=0.6)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
        figure.legend(loc="outside lower center", frameon=False, fontsize=9)
        return figure


def roc_figure(curves: Sequence[RocSeries], level: float = 0.95, title: str = "") -> bytes:
    """The same as PNG."""
    return to_png(roc(curves, level, title))


def _grid(n0: int) -> Float:
    """False-positive rates from one false positive up to just below all."""
    grid: Float = np.geomspace(1 / n0, 1 - 0.5 / n0, GRID) if n0 > 1 else np.array([0.5])
    return grid


def _draw(axes: Axes, number: int, curve: RocSeries, level: float, corner: tuple[float, float], band: bool) -> None:
    """One curve and its band; zero has no place on a log axis, so it is drawn at ``corner`` (left, bottom)."""
    left, bottom = corner
    points = roc_curve(curve.members, curve.non_members)
    area = fixed(auc(curve.members, curve.non_members), 3)
    x, y = np.clip(points.fpr, left, 1), np.clip(points.tpr, bottom, 1)
    label = f"{shortened(clean(curve.label))} (AUC {area})"
    axes.step(x, y, where="post", color=colour(number), ls=dash(number), lw=1.8, label=label)
    if band:
        grid = _grid(np.size(curve.non_members))
        ends = [tpr_interval(curve.members, curve.non_members, float(f), level) for f in grid]
        _fill(axes, grid, ends, bottom, colour(number), 0.18)


def _fill(axes: Axes, grid: Float, ends: Sequence[Interval], bottom: float, shade: str, alpha: float) -> None:
    low = np.clip([end.low for end in ends], bottom, 1)
    high = np.clip([end.high for end in ends], bottom, 1)
    axes.fill_between(grid, low, high, color=shade, alpha=alpha, lw=0)
