"""Findings of any other kind (labels, reconstructions, audits): metric, value, chance, interval and sample size."""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.judge.result import Finding
from fedprivacy.reporting.document import Block, Cell, Column, Footnotes, Layouts, Table, cell, row
from fedprivacy.reporting.findings import Group, client_key, is_client, metric_name
from fedprivacy.reporting.sections.rate_table import DECLARED, HEADLINE, NO_CAUSE, below_resolution
from fedprivacy.reporting.text import MISSING, chance_level, clean, count, counted, epsilon, estimate, levels

MANY_CLIENTS = 12


def generic_blocks(group: Group) -> list[Block]:
    """One table of all findings of the group, whatever their metric; no direction is assumed."""
    shown, hidden = _shown(group.findings)
    place = f"{clean(group.adversary)}, observing {clean(group.observation)}"
    caption = f"{place}; {levels(f.level for f in shown)} intervals"
    notes = [DECLARED] if any(f.headline for f in shown) else []
    if hidden:
        clients = len({f.target for f in group.findings if is_client(f.target)})
        words = f"Lowest, median and highest of {counted(clients, 'client')}"
        notes.append(f"{words}: a selection, for which no interval is corrected. All are in result.json.")
    return [Layouts(((_wide(shown, caption, notes),), (_narrow(shown, caption, notes),)))]


def _shown(findings: Sequence[Finding]) -> tuple[list[Finding], bool]:
    """Findings in order; of a metric with many clients only failures, the lowest, the median and the highest."""
    kept: list[Finding] = []
    hidden = False
    for key in dict.fromkeys((f.statistic, f.metric) for f in findings):
        same = [f for f in findings if (f.statistic, f.metric) == key]
        clients = sorted((f for f in same if is_client(f.target)), key=lambda f: client_key(f.target))
        kept += [f for f in same if not is_client(f.target)]
        if len(clients) > MANY_CLIENTS:
            hidden = True
            failed = [f for f in clients if f.value is None]
            ranked = sorted((f for f in clients if f.value is not None), key=lambda f: f.value or 0.0)
            places = sorted({0, (len(ranked) - 1) // 2, len(ranked) - 1}) if ranked else []
            clients = [*(ranked[place] for place in places), *_one_a_cause(failed)]
        kept += clients
    return kept, hidden


def _one_a_cause(failed: Sequence[Finding]) -> list[Finding]:
    return list({f.note: f for f in reversed(failed)}.values())[::-1]


def _wide(findings: Sequence[Finding], caption: str, notes: Sequence[str]) -> Table:
    marks = Footnotes()
    rows = [
        row([_statistic(f), clean(f.target), metric_name(f.metric), *_numbers(f, marks), count(f.n)]) for f in findings
    ]
    columns = (
        Column("statistic", fold=True),
        Column("target", fold=True),
        Column("metric", fold=True),
        Column("value"),
        Column("chance"),
        Column("chance lies"),
        Column("n", "right"),
    )
    return Table(columns, tuple(rows), caption, (*notes, *marks.lines()))


def _narrow(findings: Sequence[Finding], caption: str, notes: Sequence[str]) -> Table:
    marks = Footnotes()
    rows = []
    for f in findings:
        value, chance, where = _numbers(f, marks)
        place = f"chance {where}" if where != MISSING else ""
        first = _statistic(f)
        what = Cell((*first.lines, clean(f.target), metric_name(f.metric)), first.tone)
        rows.append(row([what, Cell((*value.lines, *([place] if place else [])), value.tone), chance, count(f.n)]))
    columns = (Column("what", fold=True), Column("value"), Column("chance"), Column("n", "right"))
    return Table(columns, tuple(rows), caption, (*notes, *marks.lines()))


def _statistic(finding: Finding) -> Cell:
    name = clean(finding.statistic) or MISSING
    return cell(f"{name} {HEADLINE}", tone="strong") if finding.headline else cell(name)


def _numbers(finding: Finding, marks: Footnotes) -> tuple[Cell, str, str]:
    """Value with interval, chance with band, and where chance lies in respect of the interval."""
    chance = chance_level(finding.chance, finding.chance_low, finding.chance_high)
    if finding.flag == "error":
        return cell(f"failed {marks.mark(clean(finding.note) or NO_CAUSE)}", tone="bad"), chance, MISSING
    if finding.value is None:
        return cell(f"{MISSING} {marks.mark(below_resolution(finding))}"), chance, MISSING
    words = _bound(finding) if "epsilon" in finding.metric.lower() else _estimate(finding)
    words += " few" if finding.flag == "few" else ""
    words += f" {marks.mark(clean(finding.note))}" if finding.note else ""
    return cell(words), chance, _place(finding)


def _estimate(finding: Finding) -> str:
    return estimate(finding.value, finding.low, finding.high, finding.chance)


def _bound(finding: Finding) -> str:
    """A measured epsilon, rounded down because it is a lower bound, with whatever ends it has."""
    low = "" if finding.low is None or finding.low == finding.value else f", low {epsilon(finding.low, 'down')}"
    high = "" if finding.high is None or finding.high == finding.value else f", high {epsilon(finding.high, 'up')}"
    return epsilon(finding.value, "down") + low + high


def _place(finding: Finding) -> str:
    if finding.chance is None or finding.low is None or finding.high is None:
        return MISSING
    if finding.low <= finding.chance <= finding.high:
        return "inside interval"
    return "below interval" if finding.chance < finding.low else "above interval"
