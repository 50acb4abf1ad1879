"""The audit of a mechanism that stops as soon as its claim falls: calls in batches, looked at as they come.

Every call is on one of two neighbouring inputs by a fair coin, and is bet on (:mod:`..metrics.epsilon.sequential`) with
a statistic, a threshold and a stake that earlier calls chose. Whatever they chose, the wealth against a claim that
holds ever reaches 1 / error with probability ``error`` at most, so nothing is paid for looking, nor for learning on the
way: statistics are fitted anew when there are half as many calls again, to two thirds of all so far, and which of them
is bet on is chosen on the other third. A claim that is far off falls after some hundred calls; near the truth, the
audit of a fixed number of calls sees more in as many.

Smaller epsilons are bet against at the same time. The lower bound is the largest of them up to which all have fallen:
it lies above the truth only where the first of them above the truth fell, which one error pays for. The claim is
refuted by the bets against it alone, so the bound may lie below a claim that fell. Both hold together: a claim that is
true is never below the bound, and of one that is false only the bound can err.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedprivacy import seeds
from fedprivacy.attacks.mechanism.statistic import Statistic, fitted
from fedprivacy.config.base import UsageError
from fedprivacy.judge.mechanism import MechanismAudit
from fedprivacy.metrics.epsilon.sequential import Bettor
from fedprivacy.metrics.scores import Bool, Float
from fedprivacy.study.mechanism.audit import MOST_CHOSEN, MOST_LEARNED, Stated, chosen_pair
from fedprivacy.study.mechanism.calls import Caller, Mechanism, flat
from fedprivacy.study.mechanism.verdict import verdict_by_bets

START = 200
"""Calls before the first bet."""
GROWTH = 1.5
"""Statistics are learned anew when there are so many times more calls."""
LOOK = 25
"""Calls between two looks."""
RUNGS = 12
"""Claims that are bet against: twelfths of the stated one."""


@dataclass
class Rung:
    """The claim of ``epsilon``, two bettors against it, and the statistics that they bet on."""

    epsilon: float
    delta: float
    error: float
    bettors: tuple[Bettor, Bettor] = field(default_factory=lambda: (Bettor(1), Bettor(-1)))
    statistics: list[str] = field(default_factory=lambda: ["", ""])
    most: float = 0.0
    """The largest logarithm of the wealth so far."""

    @property
    def fallen(self) -> bool:
        """Whether the claim is refuted."""
        return self.most >= -math.log(self.error)

    def learn(self, scores: Mapping[str, Float], coins: Bool) -> None:
        """Statistic, threshold and stake of either bettor, on calls by ``coins`` [n]."""
        for place, bettor in enumerate(self.bettors):
            best = -1.0
            for name, values in scores.items():
                tried = Bettor(bettor.sign)
                growth = tried.learn(values, coins, self.epsilon, self.delta)
                if growth > best:
                    best, self.statistics[place] = growth, name
                    bettor.threshold, bettor.stake = tried.threshold, tried.stake

    def bet(self, scores: Mapping[str, Float], coins: Bool) -> None:
        """Calls [n], one after the other."""
        paths = []
        for name, bettor in zip(self.statistics, self.bettors, strict=True):
            path = bettor.log_wealth + np.cumsum(bettor.gains(scores[name], coins, self.epsilon, self.delta))
            bettor.log_wealth = float(path[-1])
            paths.append(path)
        self.most = max(self.most, float((np.logaddexp(*paths) - math.log(2)).max()))


def audit_until_refuted(
    mechanism: Mechanism,
    stated: Stated,
    pairs: Mapping[str, tuple[Any, Any]],
    *,
    calls: int = 20_000,
    level: float = 0.95,
    root: int = 0,
) -> MechanismAudit:
    """Call ``mechanism`` until what is ``stated`` is refuted, or ``calls`` times; see
    :func:`~fedprivacy.study.mechanism.audit.audit_mechanism` for the rest."""
    chosen, left = chosen_pair(mechanism, stated, pairs, calls=calls, level=level, root=root)
    rng = seeds.numpy_generator(root, "mechanism", "early")
    first, second = (flat(one, "input") for one in pairs[chosen])
    caller = Caller(mechanism, stated.name, pairs[chosen], left)
    rungs = [Rung(stated.epsilon * (k + 1) / RUNGS, stated.delta, 1 - level) for k in range(RUNGS)]
    coins = rng.random(min(START, left)) < 0.5
    rows = caller.rows(coins)
    difference = second - first if first.shape == second.shape == rows.shape[1:] else None
    for _, end in lessons(left):
        if rungs[-1].fallen:
            break
        statistics = _learned(rows, coins, difference, rungs, rng)
        while caller.made < end and not rungs[-1].fallen:
            flips = rng.random(min(LOOK, end - caller.made)) < 0.5
            seen = caller.rows(flips)
            scores = {name: one.score(seen) for name, one in statistics.items()}
            for rung in rungs:
                if not rung.fallen:
                    rung.bet(scores, flips)
            rows, coins = np.concatenate([rows, seen]), np.concatenate([coins, flips])
    return _found(stated, rungs, chosen, calls - left + caller.made, calls, left, level)


def lessons(calls: int) -> Iterator[tuple[int, int]]:
    """After how many calls something is learned, and until how many of ``calls`` it is bet on."""
    made = min(START, calls)
    while made < calls:
        end = min(calls, int(GROWTH * made))
        yield made, end
        made = end


def held_out(made: int) -> int:
    """How many of the calls that were made teach what to bet; statistics are fitted to the others."""
    return min(made // 3, MOST_CHOSEN)


def all_fallen(rungs: Sequence[Rung]) -> float:
    """The largest epsilon of ``rungs``, in order, up to which all have fallen; 0 for none."""
    return max((rung.epsilon for rung in itertools.takewhile(lambda one: one.fallen, rungs)), default=0.0)


@functools.cache
def most_refuted(calls: int, delta: float, level: float) -> float:
    """The largest epsilon that ``calls`` of a mechanism that hides nothing refute, 0 for none.

    The same bets at the same times, where every other call is on the second input. Both bettors win half of the calls,
    so either of them is what they own together.
    """
    low, high = 0.0, math.log(calls)
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if _falls(middle, calls, delta, level) else (low, middle)
    return low


def _falls(epsilon: float, calls: int, delta: float, level: float) -> bool:
    bettor = Bettor(1)
    for made, end in lessons(calls):
        coins = np.arange(held_out(made)) % 2 == 0
        bettor.learn(coins * 1.0, coins, epsilon, delta)
        both = np.array([True, False])
        bettor.log_wealth += (end - made) / 2 * float(bettor.gains(both * 1.0, both, epsilon, delta).sum())
        if bettor.log_wealth >= -math.log(1 - level):
            return True
    return False


def _learned(
    rows: Float, coins: Bool, difference: Float | None, rungs: Sequence[Rung], rng: np.random.Generator
) -> dict[str, Statistic]:
    """Statistics of calls so far, by name, with every rung that stands taught what to bet."""
    order = rng.permutation(len(rows))
    early, late = order[len(rows) // 3 :], order[: held_out(len(rows))]
    sides = [rows[early[coins[early] == side]][:MOST_LEARNED] for side in (False, True)]
    if min(map(len, sides)) < 2:
        raise UsageError("--calls: too few for both inputs to be called.")
    found = {one.name: one for one in fitted(sides[0], sides[1], difference, rng)}
    scores = {name: one.score(rows[late]) for name, one in found.items()}
    for rung in rungs:
        if not rung.fallen:
            rung.learn(scores, coins[late])
    return found


def _found(
    stated: Stated, rungs: Sequence[Rung], inputs: str, made: int, budget: int, left: int, level: float
) -> MechanismAudit:
    claim = rungs[-1]
    low = all_fallen(rungs)
    lead = max((0, 1), key=lambda place: claim.bettors[place].log_wealth)
    bettor, evidence = claim.bettors[lead], math.exp(min(700.0, claim.most))
    ceiling = most_refuted(left, stated.delta, level)
    return MechanismAudit(
        mechanism=stated.name,
        claim=stated.epsilon,
        delta=stated.delta,
        relation=stated.relation,
        inputs=inputs,
        calls=made,
        judged=max(0, made - (budget - left) - START),
        statistic=claim.statistics[lead] or "none",
        region=f"{'at least' if bettor.sign > 0 else 'at most'} {bettor.sign * bettor.threshold:.6g}",
        counts=f"bets grew to {evidence:.3g} times their stake, and {1 / (1 - level):.3g} refute",
        level=level,
        low=low,
        ceiling=ceiling,
        reachable=None,
        estimate=None,
        verdict=verdict_by_bets(stated.claim, stated.epsilon, made, budget, low, ceiling, claim.fallen),
        budget=budget,
        evidence=evidence,
    )
