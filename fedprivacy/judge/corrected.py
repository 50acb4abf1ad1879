"""Findings that one verdict each rests on, with intervals that hold for all adversaries together.

Each adversary is a chance to refute a claim that is true. With k of them each interval stands at level
1 - (1 - level) / k (Bonferroni), so that a run calls a silent protocol leaky no more often however many look at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedprivacy.judge.result import Finding
from fedprivacy.metrics.intervals import widened

BANK_FROM = 8
"""Shadow federations from which every federation of the bank is a target by default."""


def together(findings: Sequence[Finding], federations: int = 1) -> list[Finding]:
    """``findings`` with ends and the band of chance moved outwards for the number of adversaries among them.

    ``federations``: how many of one seed are judged, whose spread the interval of a single seed is.
    """
    adversaries = len({finding.adversary for finding in findings})
    return [_corrected(one, adversaries, federations) for one in findings] if adversaries > 1 else list(findings)


def judged_federations(targets: str | None, shadows: int | None) -> int:
    """Federations of one seed that are targets, by the settings of an attack: all of the bank, or one."""
    bank = targets == "bank" or (targets == "auto" and (shadows or 0) >= BANK_FROM)
    return (shadows or 0) + 1 if bank else 1


def words(findings: Sequence[Finding]) -> str:
    """What to say of the correction, to end a sentence with; empty for one adversary."""
    adversaries = len({finding.adversary for finding in findings})
    return f" (corrected for {adversaries} adversaries)" if adversaries > 1 else ""


def _corrected(finding: Finding, adversaries: int, federations: int) -> Finding:
    many = len(finding.per_seed) if len(finding.per_seed) > 1 else federations
    over = many if many > 1 else None if finding.metric == "AUC" else finding.n

    def moved(middle: float | None, end: float | None) -> float | None:
        if middle is None or end is None:
            return end
        return widened(middle, end, finding.level, adversaries, over)

    return replace(
        finding,
        low=moved(finding.value, finding.low),
        high=moved(finding.value, finding.high),
        chance_low=moved(finding.chance, finding.chance_low),
        chance_high=moved(finding.chance, finding.chance_high),
    )
