"""Attacks other than membership in a few rows: the headline, and what could be had without any message."""

from __future__ import annotations

from collections.abc import Mapping

from fedprivacy.reporting.document import Block, Layouts
from fedprivacy.reporting.findings import Group, is_client
from fedprivacy.reporting.sections import labels, theft
from fedprivacy.reporting.sections.by_statistic import interval_below, interval_beside, statistic_table
from fedprivacy.reporting.sections.generic import generic_blocks
from fedprivacy.reporting.sections.inversion import QUALITY
from fedprivacy.reporting.text import clean, levels

COLUMNS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "labels": ("estimate", {name: labels.COLUMNS[name] for name in ("TV", labels.GAIN, "top-class hit")}),
    "theft": ("copy", {name: theft.COLUMNS[name] for name in ("agreement", "agreement gain", "accuracy")}),
    "inversion": ("picture", {name: name for name in QUALITY[:2]}),
}
"""Attack -> what its rows are, and its metrics with the titles of their columns."""
READ = {
    "labels": "TV: half the sum of all gaps between estimated and true shares of classes; 0 is exact.",
    "theft": "Agreement: share of test records on which copy and client name the same class.",
    "inversion": "PSNR and SSIM: higher is nearer to the truth.",
}
"""How the numbers of an attack are read."""


def short_blocks(group: Group, card: Mapping[str, str]) -> list[Block]:
    """One table about all clients; nothing of a headline that failed, whose verdict says so."""
    title, columns = COLUMNS.get(group.attack, ("", {}))
    whole = [f for f in group.findings if not is_client(f.target) and f.metric in columns]
    if any(f.flag == "error" and f.headline for f in group.findings):
        return []
    if not whole:
        return generic_blocks(group)
    full = {f.statistic for f in whole if f.headline or f.metric == list(columns)[1]}
    caption = f"{clean(group.adversary)}, {clean(group.observation)}; {levels(f.level for f in whole)} intervals"
    shown = [f for f in whole if f.statistic in full]
    notes = [READ[group.attack], *(f"Attempted: {clean(card[name])}." for name in ("attempted",) if name in card)]
    shapes = [
        statistic_table(shown, title, columns, value, caption, sizes=True, notes=notes)
        for value in (interval_beside, interval_below)
    ]
    return [Layouts(tuple((shape,) for shape in shapes))]
