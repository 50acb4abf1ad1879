"""The audit of a mechanism: its outputs on two neighbouring inputs, held against what it claims.

Calls are dealt into three parts: on a third the statistics are learned, on a sixth the region is chosen, and on the
half that is left the counts are taken which decide. Of many calls more are left, since 10,000 on each input teach all
that can be learned, and 50,000 are enough to choose on. Nothing is assumed but that calls are independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedprivacy import seeds
from fedprivacy.attacks.mechanism.statistic import Statistic, fitted
from fedprivacy.config.base import UsageError
from fedprivacy.judge.mechanism import MechanismAudit
from fedprivacy.metrics.epsilon.bound import EpsilonBound
from fedprivacy.metrics.epsilon.gaussian import gdp_mu
from fedprivacy.metrics.epsilon.held_out import Pair, Region, chosen_region, epsilon_of_region
from fedprivacy.metrics.epsilon.mean_shift import GaussianEstimate, gaussian_estimate, standardised_gap
from fedprivacy.metrics.scores import Float
from fedprivacy.reporting.text import epsilon, scientific
from fedprivacy.study.mechanism.calls import Mechanism, called, flat
from fedprivacy.study.mechanism.verdict import verdict_of

FEWEST = 400
"""Calls, below which no third of them can teach anything."""
PILOT = 5
"""One in so many calls goes to the choice between several pairs of inputs."""
MOST_LEARNED, MOST_CHOSEN = 10_000, 50_000
"""Outputs on each input that are learned from, and that a region is chosen on."""
REACHED = 5
LINEAR = ("projection", "weighted", "joint")


@dataclass(frozen=True)
class Stated:
    """What is claimed of a mechanism: (epsilon, delta) for ``relation`` inputs, in words as the user says it.

    UsageError for numbers that no claim has.
    """

    name: str
    epsilon: float
    delta: float
    relation: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise UsageError(f"--epsilon: a claim is a finite number above 0, and {self.epsilon:g} is none.")
        if not 0 <= self.delta < 1:
            raise UsageError(f"--delta: at least 0 and below 1, and {self.delta:g} is not.")

    @property
    def claim(self) -> str:
        """The claim in words."""
        at = f"epsilon {epsilon(self.epsilon)} at delta {scientific(self.delta)}"
        return f"{self.name} has {at} for {self.relation} inputs"


@dataclass(frozen=True)
class Told:
    """What two samples of outputs gave."""

    region: Region
    bound: EpsilonBound
    estimate: GaussianEstimate | None


def audit_mechanism(
    mechanism: Mechanism,
    stated: Stated,
    pairs: Mapping[str, tuple[Any, Any]],
    *,
    calls: int = 20_000,
    level: float = 0.95,
    root: int = 0,
) -> MechanismAudit:
    """Call ``mechanism`` ``calls`` times on neighbouring inputs and hold ``stated`` against the outputs.

    ``pairs``: the inputs by what they are in words; of several the one that tells most is found on a fifth of the
    calls, or on 400 a pair where that is more, which then decide nothing. ``root`` seeds the order of calls and what is
    learned, never the mechanism's own noise. Raises UsageError for inputs that do not fit, too few calls, or a
    mechanism that fails.
    """
    chosen, left = chosen_pair(mechanism, stated, pairs, calls=calls, level=level, root=root)
    told = _found(mechanism, stated, pairs[chosen], left, level, root, "judged")
    return MechanismAudit(
        mechanism=stated.name,
        claim=stated.epsilon,
        delta=stated.delta,
        relation=stated.relation,
        inputs=chosen,
        calls=calls,
        judged=int(told.bound.detail["of"] + told.bound.detail["among"]),
        statistic=told.region.statistic,
        region=f"{'above' if told.region.above else 'not above'} {told.region.threshold:.6g}",
        counts=told.bound.describe(),
        level=level,
        low=told.bound.low,
        ceiling=told.bound.ceiling,
        reachable=reachable(stated, left, level),
        estimate=None if told.estimate is None else (told.estimate.epsilon, told.estimate.low, told.estimate.high),
        verdict=verdict_of(stated.claim, stated.epsilon, stated.delta, told.bound, told.region.statistic),
    )


def chosen_pair(
    mechanism: Mechanism,
    stated: Stated,
    pairs: Mapping[str, tuple[Any, Any]],
    *,
    calls: int,
    level: float,
    root: int,
) -> tuple[str, int]:
    """Which of ``pairs`` is judged, and how many of ``calls`` are left to judge it on. Raises UsageError."""
    if calls < FEWEST:
        raise UsageError(f"--calls: {FEWEST} at least, of which half judge; {calls:,} would tell nothing.")
    for words, pair in pairs.items():
        first, second = (flat(one, f"{words}: an input") for one in pair)
        if np.array_equal(first, second):
            raise UsageError(f"{words}: both inputs are equal, so nothing can tell them apart.")
    chosen = next(iter(pairs))
    left = calls
    if len(pairs) > 1:
        share = max(FEWEST, calls // PILOT // len(pairs))
        left = calls - share * len(pairs)
        if left < FEWEST:
            raise UsageError(f"--calls: {FEWEST * (len(pairs) + 1):,} at least, to try {len(pairs)} pairs of inputs.")
        lows = {
            words: _found(mechanism, stated, pair, share, level, root, words).bound.low for words, pair in pairs.items()
        }
        chosen = max(lows, key=lambda words: lows[words])
    return chosen, left


def tell_apart(
    first: Float, second: Float, difference: Float | None, *, delta: float, level: float, rng: np.random.Generator
) -> Told:
    """The bound from outputs [n0, d] and [n1, d] of independent calls, in an order that says nothing.

    ``difference`` [d]: second input minus first, where the outputs have their shape.
    """
    parts = [(_cut(one), one) for one in (first, second)]
    learn, choose, judge = ([rows[at[k] : at[k + 1]] for at, rows in parts] for k in range(3))
    statistics = fitted(learn[0], learn[1], difference, rng)
    held_out = {one.name: _scored(one, choose) for one in statistics}
    region = chosen_region(held_out, delta=delta, level=level)
    by_name = {one.name: one for one in statistics}
    bound = epsilon_of_region(region, _scored(by_name[region.statistic], judge), delta=delta, level=level)
    estimate = None
    if delta > 0:
        linear = [name for name in LINEAR if name in by_name]
        best = max(linear, key=lambda name: standardised_gap(held_out[name]))
        estimate = gaussian_estimate(_scored(by_name[best], judge), delta=delta, level=level)
    return Told(region, bound, estimate)


def reachable(stated: Stated, calls: int, level: float) -> float | None:
    """What the best test of a Gaussian mechanism of exactly this claim would have given: the median of a few draws."""
    if stated.delta == 0:
        return None
    mu, found = gdp_mu(stated.epsilon, stated.delta), []
    for draw in range(REACHED):
        rng = seeds.numpy_generator(0, "mechanism", "reachable", draw)
        first = rng.normal(size=calls // 2)
        second = rng.normal(size=calls // 2) + mu
        at = _cut(first)
        held_out = {"best": Pair(first[at[1] : at[2]], second[at[1] : at[2]])}
        region = chosen_region(held_out, delta=stated.delta, level=level)
        judged = Pair(first[at[2] :], second[at[2] :])
        found.append(epsilon_of_region(region, judged, delta=stated.delta, level=level).low)
    return float(np.median(found))


def _found(
    mechanism: Mechanism, stated: Stated, pair: tuple[Any, Any], calls: int, level: float, root: int, part: str
) -> Told:
    rng = seeds.numpy_generator(root, "mechanism", part)
    first, second = called(mechanism, stated.name, pair, calls, rng)
    inputs = [flat(one, "input") for one in pair]
    same = inputs[0].shape == inputs[1].shape == first.shape[1:]
    difference = inputs[1] - inputs[0] if same else None
    return tell_apart(first, second, difference, delta=stated.delta, level=level, rng=rng)


def _cut(rows: Float) -> tuple[int, int, int, int]:
    """Where the parts to learn from, to choose on and to judge begin and end."""
    learn = min(len(rows) // 3, MOST_LEARNED)
    return 0, learn, learn + min(len(rows) // 6, MOST_CHOSEN), len(rows)


def _scored(statistic: Statistic, outputs: Sequence[Float]) -> Pair:
    return Pair(statistic.score(outputs[0]), statistic.score(outputs[1]))
