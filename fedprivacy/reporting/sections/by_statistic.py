"""One row a statistic, one column a metric: how estimates and reconstructions stand beside guesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fedprivacy.judge.result import Finding
from fedprivacy.reporting.document import Cell, Column, Footnotes, Table, cell, row
from fedprivacy.reporting.sections.rate_table import DECLARED, HEADLINE
from fedprivacy.reporting.text import MISSING, clean, count, estimate


def statistic_table(
    findings: Sequence[Finding],
    title: str,
    columns: Mapping[str, str],
    value: Callable[[Finding], str | Cell],
    caption: str,
    sizes: bool = False,
    notes: Sequence[str] | None = None,
) -> Table:
    """Findings about one target. ``columns``: metric -> its title; ``sizes``: a last column with n.

    The headline is marked and told as such; the note of any other row is a footnote, unless ``notes`` stand in their
    place.
    """
    marks = Footnotes()
    rows = []
    for name in dict.fromkeys(f.statistic for f in findings):
        own = {f.metric: f for f in findings if f.statistic == name}
        first = next(iter(own.values()))
        mark = "" if first.headline or not first.note or notes is not None else f" {marks.mark(clean(first.note))}"
        words = f"{clean(name)} {HEADLINE}" if first.headline else clean(name) + mark
        cells = [value(own[metric]) if metric in own else MISSING for metric in columns]
        last = [count(first.n)] if sizes else []
        rows.append(row([cell(words, tone="strong" if first.headline else "plain"), *cells, *last]))
    declared = [DECLARED] if any(f.headline for f in findings) else []
    heads = [Column(title, fold=True), *map(Column, columns.values()), *([Column("n", "right")] if sizes else [])]
    return Table(tuple(heads), tuple(rows), caption, (*declared, *marks.lines(), *(notes or ())))


def interval_beside(finding: Finding) -> str:
    """The value with its interval; a gain has a sign."""
    return estimate(finding.value, finding.low, finding.high, finding.chance, sign="gain" in finding.metric)


def interval_below(finding: Finding) -> Cell:
    """The value, and its interval on a line below."""
    value, bracket, interval = interval_beside(finding).partition(" [")
    return Cell((value, f"[{interval}")) if bracket else Cell((value,))
