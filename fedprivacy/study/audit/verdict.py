"""What an audit says about a claim, in one word and never more than it supports."""

from __future__ import annotations

from fedprivacy.judge.result import Audit, AuditRow, Kind, PrivacyClaim, Verdict
from fedprivacy.metrics.epsilon.one_run import one_run_p_value
from fedprivacy.reporting.text import count, counted, epsilon, scientific
from fedprivacy.study.audit.bounds import guess_grid

MOST_CANARIES = 200_000
"""More than this is not worth naming as what an audit would need."""

CHECK = "look for a bug, then for a wrong sensitivity, then for coins that play another relation"


def verdicts_of(claim: PrivacyClaim, found: Audit) -> tuple[Verdict, ...]:
    """The claim against the judged rows of ``found``; none where no finite epsilon is claimed.

    Refuted: a judged bound lies above the claim. Vacuous: delta is one over the records or more. Inconclusive: the
    ceiling or the control without noise does not reach the claim, or every bound is 0. Else not refuted.
    """
    judged = [row for row in found.rows if row.judged]
    if claim.epsilon is None or found.epsilon is None or not judged:
        return ()
    words = (
        f"One {claim.unit} ({claim.relation}) has epsilon {epsilon(claim.epsilon)} at delta {scientific(claim.delta)}"
    )
    source = f"{claim.accountant}, {counted(claim.releases, 'release')}, against: {claim.adversary}"
    return (Verdict(words, source, *_judged(claim, found, judged)),)


def _judged(claim: PrivacyClaim, found: Audit, judged: list[AuditRow]) -> tuple[Kind, str]:
    assert found.epsilon is not None
    best = max(judged, key=lambda row: row.low)
    how = f"{best.statistic} on {best.observation} by the {best.adversary}"
    stated = epsilon(found.epsilon) + (f" as compared ({found.conversion})" if found.conversion else "")
    if best.low > found.epsilon:
        return "refuted", f"at least {epsilon(best.low, 'down')} was measured ({how}), above {stated}; {CHECK}."
    if claim.vacuous:
        return "vacuous", "delta is one over the records of a client, or more."
    ceiling = max(row.ceiling for row in judged)
    if ceiling <= found.epsilon:
        return "inconclusive", (
            f"a perfect attack would have measured {epsilon(ceiling, 'down')} at most, not above {stated}; "
            f"{_needed(found)}."
        )
    controls = [row.low for row in found.rows if row.control]
    if controls and max(controls) <= found.epsilon:
        return "inconclusive", (
            f"with the noise off the same audit measures {epsilon(max(controls), 'down')}, not above {stated}, so it "
            "could not have refuted the claim; use stronger canaries, more of them, or more seeds."
        )
    if best.low == 0:
        return "inconclusive", f"nothing above 0 was measured ({how}): no evidence of privacy, and none against it."
    gap = f"{epsilon(best.low, 'down')} was measured ({how}), {epsilon(found.epsilon - best.low)} below {stated}"
    return "not refuted", f"{gap}. {_strength(judged)}That is no proof of privacy."


def _strength(judged: list[AuditRow]) -> str:
    """How near the audit came to what an honest mechanism of this claim could have shown."""
    known = [row for row in judged if row.reachable]
    if not known:
        return ""
    best = max(known, key=lambda row: row.low)
    share = best.low / (best.reachable or 1.0)
    return (
        "The strongest adversary of a mechanism exactly as claimed would have measured "
        f"{epsilon(best.reachable or 0.0, 'down')} by the same test: this audit reached {100 * share:.0f}% of it. "
    )


def _needed(found: Audit) -> str:
    """How many canaries would lift the ceiling above the claim."""
    assert found.epsilon is not None
    judged = [row for row in found.rows if row.judged]
    planned = any(row.reachable is not None for row in judged)
    m = max(2, found.m)
    while m <= MOST_CANARIES:
        m = int(1.25 * m) + 1
        grid = guess_grid(m)
        error = (1 - found.level) / len(judged) / (1 if planned else len(grid))
        if any(one_run_p_value(m, r, r, found.epsilon, delta=found.delta) < error for r in grid):
            return f"that takes about {count(_rounded(m))} canaries, with --canaries or --seeds"
    return f"at this delta {count(MOST_CANARIES)} canaries would not be enough either"


def _rounded(number: int) -> int:
    """Two digits."""
    scale = int(10 ** max(0, len(str(number)) - 2))
    return int(-(-number // scale) * scale)
