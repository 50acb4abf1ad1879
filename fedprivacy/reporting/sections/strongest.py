"""The strongest attack of each adversary here, as it was declared before the run: never the largest of all numbers.

It is the stack, where one was learned on coins that are not the target's, and else the declared headline. Which of the
two reads more is told beside it; neither that nor the highest AUC of all that were tried decides anything. A stack that
was declared and gave no number is told with its cause: it is not one that nobody asked for. Where the headline failed,
that is said first, and what the best attack reads that did run: it was picked afterwards, and no verdict rests on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.judge.comparison import STACK
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.parts import RECORDING
from fedprivacy.reporting.document import Line
from fedprivacy.reporting.findings import headline_statistics, is_rate, main_target, of_statistic
from fedprivacy.reporting.outcome import measured
from fedprivacy.reporting.sections.four_rows import attacks, highest
from fedprivacy.reporting.sections.rate_table import NO_CAUSE
from fedprivacy.reporting.settings import setting
from fedprivacy.reporting.text import clean, counted, estimate, sentence

NOT_STACKED = "No signals were stacked (--shadows 8 --effort thorough does)"
ALL_STAND = "so the headline is the strongest attack that was declared here"
SOME_STAND = "so a headline that gave a number is the strongest attack that was declared at its seat"
LEFT = "So the headline is the strongest attack that was declared here and has a number."


def stacked_line(findings: Sequence[Finding]) -> Line | None:
    """What the stack of one adversary reads, and how that compares with its headline; None without a stack of its own.

    ``findings``: all rates of the adversary.
    """
    own = [f for f in findings if f.statistic == STACK]
    found = _auc(own, STACK)
    if found is None or any(f.headline for f in own):
        return failed_line(findings)
    words = f"{clean(found.adversary)}: the strongest attack here, all signals stacked: {measured(found)}"
    return Line(f"{words}; {_beside(found, _headline(findings))}.", "quiet")


def failed_line(findings: Sequence[Finding]) -> Line | None:
    """Why the declared stack of one adversary gave no number; None where it gave one, or is the headline itself.

    ``findings``: all rates of the adversary.
    """
    own = [f for f in findings if f.statistic == STACK]
    found = of_statistic(own, STACK, main_target(own)).get("auc")
    if found is None or found.value is not None or any(f.headline for f in own):
        return None
    words = f"{clean(found.adversary)}: all signals were to be stacked, but the stack gave no number"
    why = sentence(f"{words}: {clean(found.note) or NO_CAUSE}")
    rest = "" if _headline(findings) is None else f" {LEFT}"
    return Line(f"{why}{rest}", "warn")


def headline_failed(findings: Sequence[Finding]) -> bool:
    """Whether a headline was declared for one adversary and every one of its numbers failed."""
    declared = [f for f in findings if f.headline]
    return bool(declared) and all(f.flag == "error" for f in declared)


def fallen_line(findings: Sequence[Finding]) -> Line | None:
    """What the best attack of one adversary reads whose headline failed; None where that gave a number.

    ``findings``: all rates of the adversary.
    """
    if not headline_failed(findings):
        return None
    who, best = clean(findings[0].adversary), highest(attacks(findings))
    if best is None:
        return Line(f"{who}: the declared headline failed, and no other attack gave a number.", "warn")
    (one, number), auc = best, best[0].rates["auc"]
    how = f"{clean(one.statistic)} on {clean(one.observation)}"
    told = f"of {counted(number, 'attack')} that gave a number, the highest reads {measured(auc)} ({how})"
    words = f"{who}: the declared headline failed; {told}. It was picked afterwards, so it decides nothing."
    return Line(words, "warn")


def not_stacked(result: RunResult) -> str:
    """That a headline that stands is the strongest that was declared, where nothing was stacked and something could
    have been."""
    rated = [f for f in result.findings if is_rate(f.metric)]
    protocol = str(setting(result.config, "protocol") or "")
    if not protocol or protocol.startswith(RECORDING) or setting(result.config, "scores") is not None:
        return ""
    if any(f.statistic == STACK for f in rated) or not headline_statistics(rated):
        return ""
    names = dict.fromkeys(f.adversary for f in rated if f.headline)
    failed = [headline_failed([f for f in rated if f.adversary == name]) for name in names]
    if all(failed):
        return f"{NOT_STACKED}."
    return f"{NOT_STACKED}, {SOME_STAND if any(failed) else ALL_STAND}."


def _headline(findings: Sequence[Finding]) -> Finding | None:
    names = headline_statistics(findings)
    own = [f for f in findings if f.headline]
    return _auc(own, names[0]) if names else None


def _auc(findings: Sequence[Finding], statistic: str) -> Finding | None:
    found = of_statistic(findings, statistic, main_target(findings)).get("auc")
    return found if found is not None and found.value is not None else None


def _beside(found: Finding, headline: Finding | None) -> str:
    if headline is None:
        return "the declared headline gave no number"
    theirs = estimate(headline.value, headline.low, headline.high, headline.chance)
    if None not in (found.low, headline.high) and (found.low or 0.0) > (headline.high or 0.0):
        return f"above the headline's {theirs}"
    if None not in (found.high, headline.low) and (found.high or 0.0) < (headline.low or 0.0):
        return f"below the headline's {theirs}, which is the stronger of the two"
    return f"not measurably apart from the headline's {theirs}"
