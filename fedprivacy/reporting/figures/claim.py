"""Claimed epsilon against what an audit could measure: claim from above, lower bound from below, ceiling as a tick."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fedprivacy.reporting.figures.style import COLOURS, drawing, say, shortened, to_png
from fedprivacy.reporting.text import clean, epsilon
from fedprivacy.reporting.text import level as level_words

CLAIM, BOUND, CEILING, GAP = COLOURS[0], COLOURS[1], "#000000", "#DDDDDD"


@dataclass(frozen=True)
class ClaimRow:
    """One mechanism and adversary. ``claim`` None: infinite. ``bound`` None: no audit. ``ceiling``: best possible."""

    label: str
    claim: float | None
    bound: float | None
    ceiling: float | None


def claim(rows: Sequence[ClaimRow], level: float = 0.95) -> Figure:
    """Claims and bounds on one epsilon axis; the gap between them is shaded, the verdict stands below.

    ``level`` is that of each bound, after correction for the number of rows tested.
    """
    with drawing(max(4.8, 1.6 + 1.3 * len(rows)), 4.8) as figure:
        axes = figure.add_subplot()
        if not rows:
            say(axes, "No claim was audited.")
            return figure
        finite = [v for row in rows for v in (row.claim, row.bound, row.ceiling) if v is not None]
        top = 1.35 * max([*finite, 1.0])
        for place, row in enumerate(rows):
            _draw(axes, place, row, top)
        axes.set_ylim(0, top)
        axes.set_xlim(-0.6, len(rows) - 0.4)
        axes.set_xticks(range(len(rows)), [_words(row) for row in rows], fontsize=8.5)
        axes.set_ylabel("epsilon")
        axes.set_title(f"Claimed epsilon and measured {level_words(level)} lower bound", loc="left")
        handles = [
            Patch(facecolor=CLAIM, alpha=0.35, hatch="//", edgecolor=CLAIM, label="excluded by the claim"),
            Patch(facecolor=BOUND, label="excluded by the audit (lower bound)"),
            Patch(facecolor=GAP, label="neither excluded"),
            axes.plot([], [], color=CEILING, lw=2, label="ceiling: best bound a perfect attack could give")[0],
        ]
        figure.legend(handles=handles, loc="outside lower center", fontsize=8.5, frameon=False)
        return figure


def claim_figure(rows: Sequence[ClaimRow], level: float = 0.95) -> bytes:
    """The same as PNG."""
    return to_png(claim(rows, level))


def _draw(axes: Axes, place: int, row: ClaimRow, top: float) -> None:
    end = top if row.claim is None else row.claim
    if row.bound is not None:
        axes.bar(place, max(0.0, end - row.bound), bottom=row.bound, width=0.5, color=GAP, alpha=0.6, zorder=0)
        axes.bar(place, row.bound, width=0.3, color=BOUND, zorder=3)
    if row.claim is not None:
        rest = top - row.claim
        axes.bar(place, rest, bottom=row.claim, width=0.5, color=CLAIM, alpha=0.35, hatch="//", edgecolor=CLAIM)
        axes.plot([place - 0.25, place + 0.25], [row.claim] * 2, color=CLAIM, lw=2)
    if row.ceiling is not None:
        axes.plot([place - 0.35, place + 0.35], [row.ceiling] * 2, color=CEILING, lw=2)


def verdict(row: ClaimRow) -> str:
    """The word for a row: a bound of 0, or a ceiling at or below the claim, could not have refuted it."""
    if row.claim is None:
        return "no claim to refute"
    if row.bound is None:
        return "not audited"
    if row.bound > row.claim:
        return "refuted"
    if row.bound == 0:
        return "inconclusive"
    return "inconclusive" if row.ceiling is not None and row.ceiling <= row.claim else "not refuted"


def _words(row: ClaimRow) -> str:
    """Name, numbers and verdict under a bar."""
    lines = textwrap.wrap(shortened(clean(row.label), 60), 16)
    lines.append(f"claim {epsilon(row.claim)}")
    lines += [] if row.bound is None else [f"bound {epsilon(row.bound, 'down')}"]
    lines += [] if row.ceiling is None else [f"ceiling {epsilon(row.ceiling, 'down')}"]
    return "\n".join([*lines, verdict(row)])
