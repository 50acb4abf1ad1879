"""What a paper says of two of a page's rows, held against what they gave here.

A difference in accuracy is judged by its interval over paired seeds, a ratio of bytes by its mean: bytes are counted. A
ratio of processor time is that of all seeds together, on the machine that ran them, loading and evaluation included.
A verdict is of the claim on the data and at the size that were run, which the page says are not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.judge.result import Kind, RunResult, Verdict
from fedprivacy.metrics.intervals import paired_interval
from fedprivacy.study.tables.cells import counted, of_utility
from fedprivacy.study.tables.recipe import Claim


def judged(claim: Claim, row: RunResult | None, against: RunResult | None, source: str, level: float) -> Verdict:
    """The verdict on ``claim``: supported or refuted where all that is plausible lies on one side of what is asked."""
    if row is None or against is None:
        kind, measured = _no(f"{claim.row if row is None else claim.against} was not run")
    elif claim.show == "bytes":
        kind, measured = _of_bytes(claim, row, against)
    elif claim.show == "seconds":
        kind, measured = _of_seconds(claim, row, against)
    else:
        kind, measured = _of_utility(claim, row, against, level)
    return Verdict(claim.says, source, kind, f"The paper: {claim.published}. Here: {measured}")


def _no(why: str) -> tuple[Kind, str]:
    return "inconclusive", why


def _of_bytes(claim: Claim, row: RunResult, against: RunResult) -> tuple[Kind, str]:
    mine, other = (counted(claim.metric[0], result.communication) for result in (row, against))
    if not mine or not other:
        return _no("one of the two sends nothing")
    share = mine / other
    told = f"{1 / share:.3g} times fewer bytes than" if share < 1 else f"{share:.3g} times as many bytes as"
    return _side(claim, share, share), f"{claim.row} sends {told} {claim.against} ({100 * share:.3g}%)"


def _of_seconds(claim: Claim, row: RunResult, against: RunResult) -> tuple[Kind, str]:
    mine, other = (result.provenance.cpu_seconds for result in (row, against))
    if not mine or not other:
        return _no("one of the two took no time that could be measured")
    ratio = mine / other
    told = f"{claim.row} takes {ratio:.3g} times the processor time of {claim.against} ({mine:.3g} and {other:.3g} s)"
    return _side(claim, ratio, ratio), told


def _of_utility(claim: Claim, row: RunResult, against: RunResult, level: float) -> tuple[Kind, str]:
    names = [next((m for m in claim.metric if m in result.utility), None) for result in (row, against)]
    if names[0] is None or names[1] is None:
        return _no(f"{claim.row} or {claim.against} has no {' or '.join(claim.metric)}")
    mine, other = of_utility(row.utility[names[0]]).per_seed, of_utility(against.utility[names[1]]).per_seed
    gap = 100 * (sum(mine) / len(mine) - sum(other) / len(other))
    words = f"{claim.row} minus {claim.against}: {gap:+.1f}"
    if len(mine) != len(other) or len(mine) < 2:
        return _no(f"{words} points; one seed has no interval")
    found = paired_interval(mine, other, level)
    of = " against ".join(name.replace("_", " ") for name in dict.fromkeys(filter(None, names)))
    words += f" [{100 * found.low:+.1f}, {100 * found.high:+.1f}] points of {of}"
    return _side(claim, found.low, found.high), words


def _side(claim: Claim, low: float, high: float) -> Kind:
    least = float("-inf") if claim.least is None else claim.least
    most = float("inf") if claim.most is None else claim.most
    if least <= low and high <= most:
        return "supported"
    return "refuted" if high < least or low > most else "inconclusive"


def every(
    claims: Sequence[Claim], ran: dict[tuple[str, str], RunResult], source: str, level: float
) -> tuple[Verdict, ...]:
    """The verdicts on ``claims``; ``ran``: results by group and row."""
    return tuple(judged(c, ran.get((c.group, c.row)), ran.get((c.group, c.against)), source, level) for c in claims)
