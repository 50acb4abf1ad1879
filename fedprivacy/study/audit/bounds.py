"""Lower bounds of epsilon from scores and coins, as an audit reports them; no training, no files.

How to use it::

    found = bounds_of(scores, members, delta=1e-5)      # [m] scores, higher says in; [m] coins
    found.best.low, found.best.ceiling                  # held against a claim at the same delta
    [b.assumption for b in found.apart]                 # stronger, and true under what they name; never a verdict
    noise_control(members, delta=1e-5)                  # the same bound on noise: above 0 in 5% of draws at most

The bounds that are judged need fair coins and nothing else, and each gets its share of the error. One is the one-run
test of Steinke, Nasr, Jagielski (2305.08846), theorem 5.2, of any mechanism. The other is the test of a whole curve
(Mahloujifar, Melis, Chaudhuri, 2410.22235), where the claim comes with one: refuted is then what the accountant was
told, and the bound is the epsilon of the same mechanism with the noise at which the test no longer refutes it. Neither
needs independence between guesses. What an honest mechanism of exactly this claim would have given its strongest
adversary is worked out beside each: a bound says as much as it comes near to that.

Several independent federations are one run with more coins. Let federation s map its coins S_s to what it sends, with
randomness of its own. Flipping one coin moves one factor of the product, by (epsilon, delta), and leaves the others as
they are, so the concatenation of all of them is (epsilon, delta)-DP for each coin, also where two federations use the
same records. The theorem then holds for all coins together, as long as every guess is a function of what was sent and
of coins that are nobody's target. Federations that serve each other as references with known coins break that: two
guesses that copy each other's coin are right together half of the time and leak nothing. They are not pooled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import ArrayLike

from fedprivacy import seeds
from fedprivacy.metrics.epsilon.bound import Curve, EpsilonBound
from fedprivacy.metrics.epsilon.gaussian import gdp_mu
from fedprivacy.metrics.epsilon.guesses import TESTS, OneRunTest, one_run_from_scores, one_run_split
from fedprivacy.metrics.epsilon.held_out import Pair
from fedprivacy.metrics.epsilon.mean_shift import GaussianEstimate, gaussian_estimate
from fedprivacy.metrics.epsilon.one_run_curve import largest_refuted
from fedprivacy.metrics.epsilon.thresholds import epsilon_all_thresholds
from fedprivacy.metrics.epsilon.trade_off import GaussianCurve, strongest_accuracy, strongest_scores
from fedprivacy.metrics.intervals import corrected_level
from fedprivacy.metrics.pooling import ranks_within, standardised_within
from fedprivacy.metrics.scores import Bool, Float, as_coins, by_coin
from fedprivacy.study.audit.curves import Family

DRAWS = 200
FEW = 30
"""Scores of members or non-members, below which their spread tells nothing."""
REACHED = 9
PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
"""One of so many canaries may be guessed."""
EXCESS = (1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 16.0)
"""How much more than claimed is leaked: noise over that of the claim, the other way round."""


@dataclass(frozen=True)
class Bounds:
    """``judged`` assume nothing beyond fair independent coins; ``apart`` are true under what each of them names."""

    judged: tuple[EpsilonBound, ...]
    apart: tuple[EpsilonBound, ...]
    estimate: GaussianEstimate | None = None
    """What epsilon is if scores are Gaussian, with one spread for members and non-members; None: they cannot be."""

    @property
    def best(self) -> EpsilonBound:
        """The largest that is judged."""
        return max(self.judged, key=lambda bound: bound.low)


@dataclass(frozen=True)
class NoiseControl:
    """How often the audit fired on scores that are pure noise."""

    draws: int
    fired: int
    allowed: int
    """Exceeded with probability 0.001 by an audit that fires as often as it may."""

    @property
    def silent(self) -> bool:
        """Whether it fired no more often than it may."""
        return self.fired <= self.allowed


def guess_grid(m: int) -> tuple[int, ...]:
    """Numbers of guesses to try on ``m`` canaries where no curve is claimed: a tenth, two fifths, nine tenths of them.

    Few, because each is paid for: n numbers at error p / n and delta > 0 cannot refute above log(p / (2 n delta)),
    whatever m, which is 6.7 for three at delta 1e-5 and 5.9 for seven. Not all of them, because half are guessed in
    and fair coins do not fall on one just half of the time, so that even a perfect attack would be wrong about some.
    """
    return tuple(sorted({max(1, m // 10), max(1, 2 * m // 5), max(1, 9 * m // 10)}))


@lru_cache(maxsize=256)
def planned_guesses(m: int, curve: Curve, epsilon: float, delta: float, error: float) -> int:
    """The number of guesses on ``m`` canaries by which the smallest excess over a claim may be expected to show.

    The claim, ``epsilon`` at ``delta``, is taken for that of Gaussian noise, and excess for less of it, read by the
    strongest adversary; ``curve``: what the guesses are held against. Where several numbers do, or where no excess can
    show, the one that promises most on a mechanism exactly as claimed. It follows from the claim and ``m`` alone, never
    from scores, so nothing is paid for the choice, whatever the mechanism.
    """
    numbers, bound, mu = sorted({max(1, m // part) for part in PARTS}), TESTS[curve].bound, gdp_mu(epsilon, delta)

    def promised(leak: float) -> dict[int, float]:
        leaky = GaussianCurve(leak * mu)
        return {r: bound(m, r, int(r * strongest_accuracy(leaky, r / m)), delta, error) for r in numbers}

    honest = promised(1.0)
    for leak in EXCESS:
        found = promised(leak)
        able = [r for r in numbers if found[r] > epsilon]
        if able:
            return max(able, key=lambda r: (honest[r], found[r]))
    return max(numbers, key=lambda r: (honest[r], r))


def bounds_of(
    scores: ArrayLike,
    members: ArrayLike,
    *,
    delta: float,
    level: float = 0.95,
    rows: int = 1,
    guesses: int | str | Sequence[int] = "grid",
    groups: ArrayLike | None = None,
    odds: bool = False,
    root: int = 0,
    family: Family | None = None,
) -> Bounds:
    """Bounds from ``scores`` [m], higher says in, and fair independent coins ``members`` [m] (bool, True: in).

    ``delta`` is that of the claim. ``rows``: how many such audits are held against the same claim; each gets error
    (1 - level) / rows. ``guesses``: ``grid`` (:func:`planned_guesses` with a ``family``, else the best of
    :func:`guess_grid`, each at a corrected error), ``split`` (chosen on one random half, judged on the other), a number
    fixed before the scores were seen, or a grid of one's own. ``groups`` [m]: scores of different groups (clients,
    federations) share no scale and are replaced by ranks within each, but for those that are log-odds (``odds``): the
    surest guesses are made wherever they are. ``root`` seeds ties and splits. ``family``: the claim's own mechanism,
    where the claim has one. Raises ValueError on NaN, shapes, level, delta or guesses.
    """
    values = np.asarray(scores, dtype=np.float64)
    coins = as_coins(members, values.shape)
    estimate = _if_gaussian(values, coins, groups, delta, level)
    if groups is not None and not odds:
        values = ranks_within(values, groups)
    tests = [TESTS["dp"]] if family is None else [TESTS["dp"], _of_curve(family)]
    strict = corrected_level(level, rows * len(tests))
    judged = []
    for test in tests:
        number = resolved(guesses, len(coins), test, family, delta, strict)
        bound = _one_run(values, coins, delta, strict, number, root, test)
        if family is not None:
            bound = replace(bound, reachable=_reachable(family, len(coins), delta, strict, number, test))
        judged.append(bound)
    found: list[EpsilonBound] = []
    if delta > 0:
        number = resolved(guesses, len(coins), TESTS["gaussian"], family, delta, strict)
        found.append(_one_run(values, coins, delta, strict, number, root, TESTS["gaussian"]))
    if coins.any() and not coins.all():
        inside, outside = by_coin(values, coins)
        found.append(epsilon_all_thresholds(inside, outside, delta=delta, level=strict))
        if delta > 0:
            found.append(epsilon_all_thresholds(inside, outside, delta=delta, level=strict, curve="gaussian"))
    return Bounds(tuple(judged), tuple(found), estimate)


def _if_gaussian(
    scores: Float, coins: Bool, groups: ArrayLike | None, delta: float, level: float
) -> GaussianEstimate | None:
    """From scores that share one scale after each group was brought to mean 0 and deviation 1, coins unseen."""
    inside, outside = by_coin(scores if groups is None else standardised_within(scores, groups), coins)
    if delta == 0 or min(inside.size, outside.size) < FEW:
        return None
    return gaussian_estimate(Pair(outside, inside), delta=delta, level=level)


def resolved(
    guesses: int | str | Sequence[int], m: int, test: OneRunTest, family: Family | None, delta: float, level: float
) -> int | str | Sequence[int]:
    """``guesses`` with the grid replaced by the planned number, where there is a claim to plan by."""
    if guesses != "grid" or family is None or delta == 0:
        return guesses
    curve: Curve = "dp" if test is TESTS["dp"] else "gaussian"
    return planned_guesses(m, curve, family.at(1.0)[0], delta, 1 - level)


def _of_curve(family: Family) -> OneRunTest:
    def bound(m: int, r: int, v: int, delta: float, error: float) -> float:
        return largest_refuted(m, r, v, family, error)

    return OneRunTest("one run, the claim's own curve", "none beyond what is claimed", bound)


def _reachable(
    family: Family, m: int, delta: float, level: float, guesses: int | str | Sequence[int], test: OneRunTest
) -> float:
    """The bound of the strongest adversary of a mechanism exactly as claimed: the median of a few draws."""
    key = (m, delta, level, guesses if isinstance(guesses, int | str) else tuple(guesses), test.name)
    if key in family.known:
        return family.known[key]
    found = []
    for draw in range(REACHED):
        rng = seeds.numpy_generator(0, "audit", "reachable", draw)
        coins = rng.random(m) < 0.5
        scores = strongest_scores(family.claimed, coins, rng)
        found.append(_one_run(scores, coins, delta, level, guesses, draw, test).low)
    family.known[key] = float(np.median(found))
    return family.known[key]


def noise_control(
    members: ArrayLike,
    *,
    delta: float,
    level: float = 0.95,
    rows: int = 1,
    guesses: int | str | Sequence[int] = "grid",
    draws: int = DRAWS,
    root: int = 0,
    family: Family | None = None,
) -> NoiseControl:
    """The bound that is judged, on ``draws`` vectors of noise against the coins ``members`` [m]."""
    coins = np.asarray(members)
    strict = corrected_level(level, rows)
    guesses = resolved(guesses, len(coins), TESTS["dp"], family, delta, strict)
    fired = 0
    for draw in range(draws):
        noise = seeds.numpy_generator(root, "audit", "noise", draw).normal(size=coins.shape)
        fired += _one_run(noise, coins, delta, strict, guesses, draw, TESTS["dp"]).low > 0
    return NoiseControl(draws, fired, int(scipy.stats.binom.ppf(0.999, draws, 1 - strict)))


def _one_run(
    scores: ArrayLike,
    coins: ArrayLike,
    delta: float,
    level: float,
    guesses: int | str | Sequence[int],
    root: int,
    test: OneRunTest,
) -> EpsilonBound:
    rng = seeds.numpy_generator(root, "audit", "guesses")
    m = np.size(scores)
    if guesses == "split":
        grid = guess_grid(m - m // 2)
        return one_run_split(scores, coins, delta=delta, rng=rng, guesses=grid, level=level, curve=test)
    if isinstance(guesses, str):
        if guesses != "grid":
            raise ValueError(f"guesses are 'grid', 'split', a number or several, not {guesses!r}.")
        guesses = guess_grid(m)
    return one_run_from_scores(scores, coins, delta=delta, rng=rng, guesses=guesses, level=level, curve=test)
