"""What each adversary learned, a line an adversary and attack: the verdict, its strength, its certainty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fedprivacy.judge.result import Finding, RunResult, Verdict
from fedprivacy.reporting.document import Line
from fedprivacy.reporting.findings import groups, headline_statistics, is_rate
from fedprivacy.reporting.outcome import against_chance
from fedprivacy.reporting.sections.banner import OTHERS, Other, held_together, judged, not_together
from fedprivacy.reporting.sections.effort import effort
from fedprivacy.reporting.sections.four_rows import attacks, highest
from fedprivacy.reporting.sections.rate_table import NO_CAUSE
from fedprivacy.reporting.sections.strongest import fallen_line, headline_failed
from fedprivacy.reporting.sections.verdicts import adversary_lines
from fedprivacy.reporting.settings import seeds, setting
from fedprivacy.reporting.text import clean, counted, estimate, levels, sentence

MOST_NOTES = 3
NOT_TOGETHER = "Corrected for the number of adversaries the interval reaches chance, so no verdict rests on it."


def learned(result: RunResult) -> list[Line]:
    """One line an adversary of membership, then one an adversary of every other attack, then what they rest on."""
    if not result.findings:
        return [Line("No attack was run: nothing is known about leakage.", "warn")]
    lines: list[Line] = []
    rated = [f for f in result.findings if is_rate(f.metric)]
    together = held_together(result)
    for adversary in dict.fromkeys(f.adversary for f in rated):
        lines += _membership([f for f in rated if f.adversary == adversary], together.get(adversary))
    for attack, other in OTHERS.items():
        own = [f for f in result.findings if f.attack == attack]
        lines += [_line(adversary, other, verdict, own) for adversary, verdict in judged(other, own).items()]
    return [*lines, Line(" ".join(_certainty(result)), "quiet")]


def remarks(result: RunResult) -> list[Line]:
    """What was noted of the run, the first few notes."""
    notes = [Line(f"Note: {sentence(clean(note))}", "quiet") for note in result.provenance.notes]
    return notes[:MOST_NOTES]


def _membership(findings: Sequence[Finding], together: Finding | None) -> Iterator[Line]:
    """The declared headline; where it failed, or does not leak, also the attack of the highest AUC that does more.

    ``together``: its AUC with an interval that holds for all adversaries, which a leak has to clear too.
    """
    found = groups(findings)
    declared = [group for group in found if headline_statistics(group.findings)]
    lines = [line for group in declared or found for line in adversary_lines(group)]
    if not_together(findings, together):
        lines = [Line(f"{line.text} {NOT_TOGETHER}", "warn") for line in lines]
    yield from lines
    if (fallen := fallen_line(findings)) is not None:
        yield fallen
        return
    best = highest(attacks(findings))
    if best is not None and not any(line.tone == "bad" for line in lines):
        auc = best[0].rates["auc"]
        if against_chance(auc) == "leak":
            how = f"{clean(best[0].statistic)} on {clean(best[0].observation)}"
            told = f"{estimate(auc.value, auc.low, auc.high, auc.chance)} ({how})"
            words = f"the highest AUC of {counted(best[1], 'attack')} is {told}"
            yield Line(f"{clean(auc.adversary)}: {words}. It was picked afterwards, so it decides nothing.", "warn")


def _line(adversary: str, other: Other, verdict: Verdict, findings: Sequence[Finding]) -> Line:
    mine = [f for f in findings if f.adversary == adversary]
    if headline_failed(mine):
        why = sentence(clean(next(f.note for f in mine if f.headline)) or NO_CAUSE)
        return Line(
            f"{clean(adversary)}: {clean(mine[0].attack)}: the declared attack failed, so there is no verdict: {why}",
            "bad",
        )
    leaks = verdict.verdict == "refuted"
    words = (other.leaks if leaks else other.silent).format(who=clean(adversary))
    return Line(f"{words}: {sentence(clean(verdict.why))}", "bad" if leaks else "plain")


def _certainty(result: RunResult) -> Iterator[str]:
    """What the intervals are over, and how hard was looked."""
    if any(is_rate(f.metric) for f in result.findings):
        yield "Membership: which records were trained on."
    at = levels({f.level for f in result.findings})
    if result.provenance.seeds > 1:
        yield f"Intervals: {at}, over {seeds(result)}."
    elif setting(result.config, "protocol") is None:
        yield f"Intervals: {at}, over the records of the file."
    else:
        yield f"Intervals: {at}, over the records and clients of {seeds(result)} alone; another seed may differ."
    yield from effort(result)
