"""One table of AUC and TPR at low FPR in three widths, chance beside every number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedprivacy.judge.result import Finding
from fedprivacy.reporting.document import Cell, Column, Footnotes, Layouts, Table, cell, row
from fedprivacy.reporting.findings import fpr_of, metric_name, metric_order, metric_short
from fedprivacy.reporting.text import MISSING, chance_level, clean, count, estimate

HEADLINE = "*"
DECLARED = f"{HEADLINE} headline: declared before the run"
FEW = "few: fewer than ten false positives are allowed at this FPR, so no verdict rests on the number"
NO_CAUSE = "no cause was stored"
CHANCE = "chance"


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
    caption: str
    notes: Sequence[str]
    statistic: bool
    target: bool
    sizes: bool = False
    """Whether the number of members and non-members stands in each row, because it differs."""
    titles: tuple[str, str] = ("statistic", "target")

    def layouts(self) -> Layouts:
        """Widest first: a row an entry with false positives beside the numbers, below them, then a line a metric.

        Metrics without any number are a note and no column.
        """
        kept, dropped = _with_numbers(self.entries)
        shapes = (*(self._matrix(kept, stacked, dropped) for stacked in (False, True)), self._lines(kept, dropped))
        return Layouts(tuple((shape,) for shape in shapes))

    def _common_chance(self, metric: str) -> str:
        """What most rows read without leakage; it stands in the head."""
        known = Counter(_chance(e.rates[metric]) for e in self.entries if metric in e.rates)
        known.pop(MISSING, None)
        return known.most_common(1)[0][0] if known else ""

    def _matrix(self, metrics: Sequence[str], stacked: bool, dropped: Sequence[str]) -> Table:
        """A row an entry and a column a metric, chance below its title, and in a cell where it is another."""
        marks = Footnotes()
        chances = {metric: self._common_chance(metric) for metric in metrics}
        first, *names = self._name_columns()
        known = any(chances.values())
        columns = [replace(first, under=CHANCE if known else ""), *names]
        columns += [Column("in / out")] if self.sizes else []
        rows = []
        for entry in self.entries:
            named, shared = self._names(entry, marks), _shared_note(entry)
            cells = [_result(entry.rates.get(metric), marks, stacked, chances[metric], shared) for metric in metrics]
            size = [_size(entry) or MISSING] if self.sizes else []
            rows.append(row([*named, *size, *cells]))
        columns += [Column(metric_name(metric), under=chances[metric]) for metric in metrics]
        return self._titled(columns, rows, marks, dropped)

    def _lines(self, metrics: Sequence[str], dropped: Sequence[str]) -> Table:
        """A row an entry and metric: needs the least width."""
        marks = Footnotes()
        rows: list[tuple[Cell, ...]] = []
        for entry in self.entries:
            shared, size = _shared_note(entry), _size(entry) if self.sizes else ""
            *first, last = self._names(entry, marks)
            names = [*first, Cell((*last.lines, *([size] if size else [])), last.tone)]
            found = [entry.rates[metric] for metric in metrics if metric in entry.rates]
            for place, finding in enumerate(found):
                alarms = MISSING if finding.false_positives is None else count(finding.false_positives)
                alarms += ", few" if finding.flag == "few" else ""
                end = place == len(found) - 1
                here = [name if end else cell(name.lines[0], tone=name.tone) for name in names]
                value = marked_value(finding, marks, shared)
                rows.append(row([*here, metric_short(finding.metric), value, _chance(finding), alarms]))
                names = [Cell(name.lines[1:] or ("",), "quiet") for name in names]
        columns = [*self._name_columns(), Column("metric"), Column("value"), Column(CHANCE), Column("FP")]
        return self._titled(columns, rows, marks, dropped)

    def _titled(
        self, columns: Sequence[Column], rows: Sequence[tuple[Cell, ...]], marks: Footnotes, dropped: Sequence[str]
    ) -> Table:
        legend = [DECLARED] if self.statistic and any(e.headline for e in self.entries) else []
        few = any(f.flag == "few" for e in self.entries for f in e.rates.values())
        notes = (*legend, *([FEW] if few else []), *marks.lines(), *dropped, *self.notes)
        return Table(tuple(columns), tuple(rows), self.caption, notes)

    def _name_columns(self) -> list[Column]:
        titles = [title for title, shown in zip(self.titles, (self.statistic, self.target), strict=True) if shown]
        return [Column(title, fold=True) for title in titles]

    def _names(self, entry: Entry, marks: Footnotes) -> list[Cell]:
        """Statistic and target, the first of them with the mark of the note that all its numbers share."""
        names = []
        if self.statistic:
            name = clean(entry.statistic) + (f" {HEADLINE}" if entry.headline else "")
            names.append(cell(name, tone="strong" if entry.headline else "plain"))
        if self.target:
            names.append(cell(clean(entry.target), entry.remark))
        note = _shared_note(entry)
        if note:
            first = names[0]
            names[0] = Cell((f"{first.lines[0]} {marks.mark(note)}", *first.lines[1:]), first.tone)
        return names


def _size(entry: Entry) -> str:
    first = next(iter(entry.rates.values()), None)
    if first is None or first.members is None or first.non_members is None:
        return ""
    return f"{count(first.members)} / {count(first.non_members)}"


def _shared_note(entry: Entry) -> str:
    """The note of all findings with a value, where it is the same; it stands once and not in every cell."""
    notes = {clean(f.note) for f in entry.rates.values() if f.value is not None}
    return next(iter(notes)) if len(notes) == 1 else ""


def _with_numbers(entries: Sequence[Entry]) -> tuple[list[str], list[str]]:
    """Metrics that are not below resolution everywhere, and a note on each of the others."""
    metrics, notes = metrics_of(entries), []
    for metric in list(metrics):
        found = [entry.rates[metric] for entry in entries if metric in entry.rates]
        if len(metrics) > 1 and all(f.flag == "below" for f in found):
            metrics.remove(metric)
            notes.append(f"{metric_name(metric)} is '{MISSING}' everywhere, {below_resolution(found[0])}")
    return metrics, notes


def metrics_of(entries: Sequence[Entry]) -> list[str]:
    """All metrics of the entries, AUC first."""
    return sorted(dict.fromkeys(metric for e in entries for metric in e.rates), key=metric_order)


def below_resolution(finding: Finding, told: str = "") -> str:
    """Why a finding without an error has no value; its note is added unless it is ``told`` elsewhere."""
    note, fpr = clean(finding.note), fpr_of(finding.metric)
    if finding.flag != "below":
        return note or "no value was stored"
    if fpr:
        needed = count(math.ceil(100 / fpr - 1e-9))
        reason = f"below resolution: {fpr:g}% FPR needs at least {needed} non-members"
    else:
        reason = "below resolution"
    return reason if note in ("", told) or note.lower().startswith("below resolution") else f"{reason}; {note}"


def marked_value(finding: Finding, marks: Footnotes, told: str = "") -> Cell:
    """Value and interval, or ``-`` or ``failed``, with the mark of its note unless that is ``told`` elsewhere."""
    note = clean(finding.note)
    if finding.flag == "error":
        return cell(f"failed {marks.mark(note or NO_CAUSE)}", tone="bad")
    if finding.value is None:
        return cell(f"{MISSING} {marks.mark(below_resolution(finding, told))}")
    words = estimate(finding.value, finding.low, finding.high, finding.chance)
    return cell(f"{words} {marks.mark(note)}" if note and note != told else words)


def _result(finding: Finding | None, marks: Footnotes, stacked: bool, usual: str, told: str) -> Cell:
    """A cell of the matrix: the value, and what stands beside or under it; its own chance where that is not usual."""
    if finding is None:
        return cell(MISSING)
    value = marked_value(finding, marks, told)
    if finding.value is None:
        return value
    extra = [] if finding.false_positives is None else [f"{count(finding.false_positives)} FP"]
    extra += ["few"] if finding.flag == "few" else []
    alarms, chance = ", ".join(extra), _chance(finding)
    own = "" if chance in (usual, MISSING) else f"{CHANCE} {chance}"
    if stacked:
        return cell(value.lines[0], own, alarms, tone=value.tone)
    return cell(f"{value.lines[0]} {alarms}".rstrip(), own, tone=value.tone)


def _chance(finding: Finding) -> str:
    return chance_level(finding.chance, finding.chance_low, finding.chance_high)
