"""Runs beside each other in what attacks other than membership found: the verdict on each, and one table an attack."""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.reporting.document import Block, Cell, Column, Line, Table, cell, row
from fedprivacy.reporting.sections import labels, theft
from fedprivacy.reporting.sections.banner import NO_PROOF, OTHERS, judged
from fedprivacy.reporting.sections.by_statistic import interval_beside
from fedprivacy.reporting.sections.inversion import compared
from fedprivacy.reporting.text import MISSING, clean

MEASURES = {
    "labels": ("Classes that a client holds: distance of the estimate (TV), and gain over a guess", "TV", labels.GAIN),
    "theft": ("Copies of a client's model: agreement, and gain over a model that saw no message", *theft.MEASURES),
}
"""Attack -> caption, the metric that is read, and its gain over what could be had without a message."""


def outcomes(results: Sequence[RunResult], names: Sequence[str]) -> list[Line]:
    """What each adversary of each run learned by other attacks, a sentence each."""
    lines = []
    for attack, other in OTHERS.items():
        for name, result in zip(names, results, strict=True):
            found = judged(other, [f for f in result.findings if f.attack == attack])
            for adversary, verdict in found.items():
                leaks = verdict.verdict == "refuted"
                words = (other.leaks if leaks else f"{other.silent}; {NO_PROOF}").format(who=clean(adversary))
                lines.append(Line(f"{clean(name)}: {words}.", "bad" if leaks else "plain"))
    return lines


def tables(results: Sequence[RunResult], names: Sequence[str]) -> list[Block]:
    """A table an attack, a row a run and adversary, from the headline about all clients."""
    found: list[Block] = []
    for attack, (caption, metric, gain) in MEASURES.items():
        rows = []
        for name, result in zip(names, results, strict=True):
            for adversary, own in _by_adversary(result, attack):
                head = {f.metric: f for f in own if f.headline and f.target == "all clients"}
                how = next((f"{clean(f.statistic)} on {clean(f.observation)}" for f in head.values()), MISSING)
                numbers = [interval_beside(head[key]) if key in head else MISSING for key in (metric, gain)]
                rows.append(row([cell(name, tone="strong"), Cell((clean(adversary), how)), *numbers]))
        heads = (Column("run", fold=True), Column("adversary", fold=True), Column(metric), Column("gain"))
        found += [Table(heads, tuple(rows), caption)] if rows else []
    return [*found, *compared(results, names)]


def _by_adversary(result: RunResult, attack: str) -> list[tuple[str, list[Finding]]]:
    own = [f for f in result.findings if f.attack == attack]
    return [(who, [f for f in own if f.adversary == who]) for who in dict.fromkeys(f.adversary for f in own)]
