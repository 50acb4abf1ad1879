"""What the audit of a mechanism says about its claim, in one line and never more than it supports."""

from __future__ import annotations

from fedprivacy.judge.result import Kind, Verdict
from fedprivacy.metrics.epsilon.bound import EpsilonBound
from fedprivacy.metrics.epsilon.held_out import most_shown
from fedprivacy.reporting.text import count, epsilon

CHECK = "look for a bug, then for a wrong sensitivity, then whether the two inputs are neighbours at all"
MOST_CALLS = 1_000_000_000


def verdict_of(claimed: str, claim: float, delta: float, bound: EpsilonBound, statistic: str) -> Verdict:
    """Refuted where the bound lies above ``claim``, inconclusive where its ceiling does not; else not refuted.

    ``claimed``: the claim in words.
    """
    return Verdict(claimed, "as stated", *_judged(claim, delta, bound, statistic))


def verdict_by_bets(
    claimed: str, claim: float, made: int, budget: int, low: float, ceiling: float, fallen: bool
) -> Verdict:
    """The same of an audit that stops early: after ``made`` calls of ``budget``, in which the claim has ``fallen``."""
    if fallen:
        why = f"bets against it won after {count(made)} of up to {count(budget)} calls; {CHECK}."
        return Verdict(claimed, "as stated", "refuted", why)
    if ceiling <= claim:
        why = f"without any noise so many calls would have refuted {epsilon(ceiling, 'down')} at most; raise --calls."
        return Verdict(claimed, "as stated", "inconclusive", why)
    if low == 0:
        why = f"{count(made)} calls refuted nothing: no evidence of privacy, and none against it."
        return Verdict(claimed, "as stated", "inconclusive", why)
    why = f"{count(made)} calls refuted {epsilon(low, 'down')}, and not {epsilon(claim)}. That is no proof of privacy."
    return Verdict(claimed, "as stated", "not refuted", why)


def _judged(claim: float, delta: float, bound: EpsilonBound, statistic: str) -> tuple[Kind, str]:
    low = epsilon(bound.low, "down")
    if bound.low > claim:
        return "refuted", f"at least {low} was measured (by {statistic}), above {epsilon(claim)}; {CHECK}."
    if bound.ceiling <= claim:
        needed = _needed(claim, delta, bound)
        return "inconclusive", (
            f"without any noise so many calls would have shown {epsilon(bound.ceiling, 'down')} at most, not above "
            f"{epsilon(claim)}; that takes {needed} calls."
        )
    if bound.low == 0:
        return "inconclusive", "nothing above 0 was measured: no evidence of privacy, and none against it."
    gap = f"{low} was measured (by {statistic}), {epsilon(claim - bound.low)} below {epsilon(claim)}"
    return "not refuted", f"{gap}. That is no proof of privacy."


def _needed(claim: float, delta: float, bound: EpsilonBound) -> str:
    """Calls in all at which the ceiling passes the claim: half of them judge, and half of those each input."""
    each = 100
    while each < MOST_CALLS:
        each = int(each * 1.1)
        if most_shown(each, each, delta=delta, level=bound.level) > claim:
            scale = int(10 ** max(0, len(str(4 * each)) - 2))
            return "about " + count(int(-(-4 * each // scale) * scale))
    return f"more than {count(MOST_CALLS)}"
