"""One table of AUC and TPR at low FPR in three widths, chance beside every number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedprivacy.reporting.document import Cell, Column, Footnotes, Layouts, Table, cell, row
from fedprivacy.reporting.findings import fpr_of, metric_name, metric_order, metric_short
from fedprivacy.reporting.text import MISSING, chance_level, clean, count, estimate
from fedprivacy.result import Finding

HEADLINE = "*"
DECLARED = f"{HEADLINE} headline: declared before the run"
FEW = "few: fewer than ten false positives are allowed at this FPR, so no verdict rests on the number"
NO_CAUSE = "no cause was stored"


@dataclass(frozen=True)
class Entry:
    """One row: a statistic about one target, its findings by metric, and a remark on the target."""

    statistic: str
    target: str
    headline: bool
    rates: Mapping[str, Finding]
    remark: str = ""


@dataclass(frozen=True)
class RateTable:
    """Entries of one table; ``statistic`` and ``target`` say which of the two the rows are named by."""

    entries: Sequence[Entry]
    metrics: Sequence[str]
    caption: str
    notes: Sequence[str]
    statistic: bool
    target: bool
    sizes: bool = False
    """Whether the number of members and non-members stands in each row, because it differs."""

    def layouts(self) -> Layouts:
        """Widest first: false positives beside the value, under it, or a line a metric."""
        if all(len(self._chances(metric)) <= 1 for metric in self.metrics):
            return Layouts(((self._matrix(False),), (self._matrix(True),), (self._lines(),)))
        return Layouts(((self._matrix(True, own_chance=True),), (self._lines(),)))

    def _chances(self, metric: str) -> set[str]:
        return {_chance(e.rates[metric]) for e in self.entries if metric in e.rates} - {MISSING}

    def _matrix(self, stacked: bool, own_chance: bool = False) -> Table:
        """A row an entry and a column a metric, chance in a row of its own or in each cell."""
        marks = Footnotes()
        names = self._name_columns()
        rows = []
        if not own_chance:
            chance = [next(iter(self._chances(metric)), MISSING) for metric in self.metrics]
            rows.append(row([cell("no leakage", tone="quiet"), *[""] * (len(names) - 1), *chance]))
        for entry in self.entries:
            cells = [_result(entry.rates.get(metric), marks, stacked, own_chance) for metric in self.metrics]
            rows.append(row([*self._names(entry), *cells]))
        columns = [*names, *(Column(metric_name(metric)) for metric in self.metrics)]
        return self._titled(columns, rows, marks)

    def _lines(self) -> Table:
        """A row an entry and metric: needs the least width."""
        marks = Footnotes()
        rows = []
        for entry in self.entries:
            names, drawn = self._names(entry), list[tuple[Cell, ...]]()
            for metric in (name for name in self.metrics if name in entry.rates):
                finding = entry.rates[metric]
                alarms = MISSING if finding.false_positives is None else count(finding.false_positives)
                alarms += ", few" if finding.flag == "few" else ""
                value = marked_value(finding, marks)
                last = len(drawn) == len(entry.rates) - 1
                here = [name if last else cell(name.lines[0], tone=name.tone) for name in names]
                drawn.append(row([*here, metric_short(metric), value, _chance(finding), alarms]))
                names = [Cell(name.lines[1:] or ("",), "quiet") for name in names]
            rows += drawn
        columns = [
            *self._name_columns(),
            Column("metric"),
            Column("value"),
            Column("no leakage"),
            Column("FP"),
        ]
        return self._titled(columns, rows, marks)

    def _titled(self, columns: Sequence[Column], rows: Sequence[tuple[Cell, ...]], marks: Footnotes) -> Table:
        legend = [DECLARED] if self.statistic and any(e.headline for e in self.entries) else []
        few = any(f.flag == "few" for e in self.entries for f in e.rates.values())
        notes = (*legend, *([FEW] if few else []), *marks.lines(), *self.notes)
        return Table(tuple(columns), tuple(rows), self.caption, notes)

    def _name_columns(self) -> list[Column]:
        titles = [title for title, shown in (("statistic", self.statistic), ("target", self.target)) if shown]
        return [Column(title, fold=True) for title in titles]

    def _names(self, entry: Entry) -> list[Cell]:
        names = []
        if self.statistic:
            name = clean(entry.statistic) + (f" {HEADLINE}" if entry.headline else "")
            names.append(cell(name, tone="strong" if entry.headline else "plain"))
        if self.target:
            names.append(cell(clean(entry.target), entry.remark, self._size(entry)))
        return names

    def _size(self, entry: Entry) -> str:
        first = next(iter(entry.rates.values()), None)
        if not self.sizes or first is None or first.members is None or first.non_members is None:
            return ""
        return f"{count(first.members)} in, {count(first.non_members)} out"


def metrics_of(entries: Sequence[Entry]) -> list[str]:
    """All metrics of the entries, AUC first."""
    return sorted(dict.fromkeys(metric for e in entries for metric in e.rates), key=metric_order)


def below_resolution(finding: Finding) -> str:
    """Why a finding without an error has no value."""
    note, fpr = clean(finding.note), fpr_of(finding.metric)
    if finding.flag != "below":
        return note or "no value was stored"
    if fpr:
        needed = count(math.ceil(100 / fpr - 1e-9))
        reason = f"below resolution: {fpr:g}% FPR needs at least {needed} non-members"
    else:
        reason = "below resolution"
    return reason if not note or note.lower().startswith("below resolution") else f"{reason}; {note}"


def marked_value(finding: Finding, marks: Footnotes) -> Cell:
    """Value and interval, or ``-`` or ``failed``, with the mark of its note."""
    if finding.flag == "error":
        return cell(f"failed {marks.mark(clean(finding.note) or NO_CAUSE)}", tone="bad")
    if finding.value is None:
        return cell(f"{MISSING} {marks.mark(below_resolution(finding))}")
    words = estimate(finding.value, finding.low, finding.high, finding.chance)
    return cell(f"{words} {marks.mark(clean(finding.note))}" if finding.note else words)


def _result(finding: Finding | None, marks: Footnotes, stacked: bool, own_chance: bool) -> Cell:
    """A cell of the matrix: the value, and what stands beside or under it."""
    if finding is None:
        return cell(MISSING)
    value = marked_value(finding, marks)
    if finding.value is None:
        return value
    extra = [] if finding.false_positives is None else [f"{count(finding.false_positives)} FP"]
    extra += ["few"] if finding.flag == "few" else []
    alarms = ", ".join(extra)
    if not stacked:
        return cell(f"{value.lines[0]} {alarms}".rstrip(), tone=value.tone)
    chance = ""
    if own_chance and finding.chance_low is not None and finding.chance_high is not None:
        chance = f"chance {_chance(finding)}"
    return cell(value.lines[0], chance, alarms, tone=value.tone)


def _chance(finding: Finding) -> str:
    return chance_level(finding.chance, finding.chance_low, finding.chance_high)
