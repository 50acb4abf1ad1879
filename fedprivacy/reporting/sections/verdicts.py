"""Plain sentences: what each adversary learned, and how claims stand against the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedprivacy.judge.result import Finding, RunResult, Verdict
from fedprivacy.judge.verdicts import STRONGER_KNOWN
from fedprivacy.reporting.document import Block, Line, Section, Tone
from fedprivacy.reporting.findings import (
    Group,
    fpr_of,
    groups,
    headline_statistics,
    is_rate,
    main_target,
    of_statistic,
)
from fedprivacy.reporting.outcome import NO_LEAKAGE, Outcome, against_chance, measured, overall, recognised
from fedprivacy.reporting.sections.rate_table import NO_CAUSE
from fedprivacy.reporting.sections.strongest import fallen_line, not_stacked, stacked_line
from fedprivacy.reporting.text import clean, counted, fixed, listed, sentence

TONES: Mapping[str, Tone] = {"refuted": "bad", "supported": "good", "vacuous": "bad"}
OUTCOME_TONES: Mapping[Outcome, Tone] = {"leak": "bad", "failed": "bad", "none": "plain"}


def verdict_sections(result: RunResult) -> tuple[Section, ...]:
    """One line an adversary, from what carries its headline, then one line a stored verdict."""
    learned: list[Block] = []
    found = groups(f for f in result.findings if is_rate(f.metric))
    heard = {group.adversary for group in found if headline_statistics(group.findings)}
    for group in found:
        if headline_statistics(group.findings) or group.adversary not in heard:
            learned += adversary_lines(group)
    for adversary in dict.fromkeys(group.adversary for group in found):
        own = [f for f in result.findings if is_rate(f.metric) and f.adversary == adversary]
        learned += filter(None, (fallen_line(own), stacked_line(own)))
    learned += [Line(words, "quiet") for words in filter(None, (not_stacked(result),))]
    others = any(not is_rate(f.metric) and f.attack not in ("", "membership") for f in result.findings)
    title = "What each adversary learned" + (" of membership" if others else "")
    return (*((Section(title, tuple(learned)),) if learned else ()), *claim_verdicts(result))


def claim_verdicts(result: RunResult) -> tuple[Section, ...]:
    """One line a stored verdict; no section without any."""
    lines = tuple(verdict_line(verdict) for verdict in result.verdicts)
    return (Section("Verdicts on claims", lines),) if lines else ()


def verdict_line(verdict: Verdict) -> Line:
    """``REFUTED: claim (source). Why.``"""
    source = f" ({clean(verdict.source)})" if verdict.source else ""
    words = f"{verdict.verdict.upper()}: {clean(verdict.claim)}{source}."
    why = sentence(clean(verdict.why))
    return Line(f"{words} {why[:1].upper()}{why[1:]}".rstrip(), TONES.get(verdict.verdict, "warn"))


def adversary_lines(group: Group) -> list[Line]:
    """What the headline statistic of ``group`` (AUC and TPR findings) says; only a declared headline gets a verdict."""
    declared = headline_statistics(group.findings)
    if not declared:
        place = f"{clean(group.adversary)}, observing {clean(group.observation)}"
        return [Line(f"{place}: no headline statistic was declared, so there is no verdict.", "quiet")]
    lines = []
    for statistic in declared:
        same = [f for f in group.findings if f.statistic == statistic]
        target = main_target(same)
        if target is None:
            outcome, words = _by_client(same, statistic)
        else:
            rates = of_statistic(same, statistic, target)
            outcome = overall(rates)
            how = f"{clean(statistic)} on {clean(group.observation)}"
            words = f"{_headline(group, outcome, rates)}{_detail(how, rates, outcome)}"
        lines.append(Line(f"{clean(group.adversary)}: {words}", OUTCOME_TONES.get(outcome, "warn")))
    return lines


def _headline(group: Group, outcome: Outcome, rates: Mapping[str, Finding]) -> str:
    first = next(iter(rates.values()))
    if outcome == "leak":
        return f"{clean(group.attack)}{'' if against_chance(first) == 'leak' else ' of some records'} leaks"
    if outcome == "none":
        return NO_LEAKAGE
    if outcome == "unclear":
        return "inconclusive (the interval is above chance, but so high a value also occurs without leakage)"
    if outcome == "reversed":
        return "inconclusive (members score below non-members, so the score points the wrong way)"
    if outcome == "failed":
        others = {f.statistic for f in group.findings if f.value is not None}
        if others:
            return f"the declared statistic failed; the table holds what was measured by {listed(sorted(others))}"
        return "the declared attack failed, so there is no verdict"
    return "inconclusive (too few records for a verdict)"


def _detail(how: str, rates: Mapping[str, Finding], outcome: Outcome) -> str:
    """The number that the headline rests on, and at the lowest FPR that is clear of chance what it means."""
    first = next(iter(rates.values()))
    if outcome == "failed":
        cause = next(clean(f.note) for f in rates.values() if f.flag == "error")
        return f" ({how}): {sentence(cause or NO_CAUSE)}"
    if first.value is None:
        return f"; {how} has no number at this sample size."
    words = [f": {measured(first)} ({how})."]
    clear = [f for f in rates.values() if fpr_of(f.metric) is not None and against_chance(f) == "leak"]
    words += [recognised(clear[-1], fpr_of(clear[-1].metric) or 0.0)] if clear else []
    words += [sentence(STRONGER_KNOWN.capitalize())] if STRONGER_KNOWN in first.note else []
    return " ".join(words)


def _by_client(findings: Sequence[Finding], statistic: str) -> tuple[Outcome, str]:
    """The headline where only single clients were scored: how many of them are clear of chance."""
    by_client = {t: of_statistic(findings, statistic, t) for t in dict.fromkeys(f.target for f in findings)}
    outcomes = {target: overall(rates) for target, rates in by_client.items()}
    total, leaks = len(outcomes), sum(outcome == "leak" for outcome in outcomes.values())
    firsts = [next(iter(rates.values())).value for rates in by_client.values()]
    values = [value for value in firsts if value is not None]
    spread = f"By {clean(statistic)}, AUC {fixed(min(values), 2)} to {fixed(max(values), 2)}. " if values else ""
    alone = f"{spread}Each client was judged alone."
    if leaks:
        return "leak", f"leaks at {leaks} of {counted(total, 'client')}. {alone}"
    kinds = set(outcomes.values())
    if kinds == {"none"}:
        return "none", f"{NO_LEAKAGE} at any of {counted(total, 'client')}. {alone}"
    return "unclear", f"inconclusive: no client is clear of chance, and not all could be judged. {alone}"
