"""AUC and TPR of a few rows, what no leakage reads below each title: the narrowest table that has it all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fedprivacy.judge.result import Finding
from fedprivacy.reporting.document import Cell, Column, Footnotes, Table, cell, row
from fedprivacy.reporting.findings import metric_name, metric_order
from fedprivacy.reporting.sections.rate_table import CHANCE, marked_value
from fedprivacy.reporting.text import MISSING, chance_level, clean

Rates = Mapping[str, Finding]
"""Findings of one row by metric, as ``metric_key`` spells it."""


def chance_table(
    rows: Sequence[tuple[Cell, Rates]], title: Column, caption: str, marks: Footnotes, always: bool = False
) -> Table | None:
    """``rows`` under ``title``. Metrics without any number are no columns; without any there is no table.

    ``always``: failures are a table too.
    """
    metrics = _with_numbers([rates for _, rates in rows]) or (["auc"] if always else [])
    if not metrics:
        return None
    first = {metric: _known(rates[metric] for _, rates in rows if metric in rates) for metric in metrics}
    lines = [row([name, *(_value(rates, first, metric, marks) for metric in metrics)]) for name, rates in rows]
    heads = [Column(metric_name(metric), under=_chance(first.get(metric))) for metric in metrics]
    notes = (*marks.lines(), *_few([rates for _, rates in rows], metrics))
    return Table((title, *heads), tuple(lines), caption, notes)


def _known(found: Iterable[Finding]) -> Finding | None:
    """The first that has a chance level."""
    return next((finding for finding in found if finding.chance is not None), None)


def _value(rates: Rates, first: Mapping[str, Finding | None], metric: str, marks: Footnotes) -> Cell:
    """The number with its interval, and its own chance where that is not the one above."""
    finding = rates.get(metric)
    if finding is None:
        return cell(MISSING)
    value = marked_value(finding, marks, clean(finding.note) if finding.value is not None else "")
    chance = _chance(finding)
    own = f"{CHANCE} {chance}" if chance not in (MISSING, _chance(first.get(metric))) else ""
    return cell(*value.lines, own, tone=value.tone)


def _chance(finding: Finding | None) -> str:
    if finding is None:
        return MISSING
    return chance_level(finding.chance, finding.chance_low, finding.chance_high)


def _with_numbers(rows: Sequence[Rates]) -> list[str]:
    """Metrics of which some row has a number, AUC first."""
    metrics = dict.fromkeys(metric for rates in rows for metric in rates)
    seen = [m for m in metrics if any(m in rates and rates[m].value is not None for rates in rows)]
    return sorted(seen, key=metric_order)


def _few(rows: Sequence[Rates], metrics: Sequence[str]) -> Iterator[str]:
    for metric in metrics:
        if any(metric in rates and rates[metric].flag == "few" for rates in rows):
            yield f"{metric_name(metric)} rests on fewer than ten false positives: no verdict does."
