"""Lower bound of epsilon from two samples of outputs, with the region chosen on outputs that are not judged.

A mechanism that is (epsilon, delta)-DP puts at most ``e^epsilon Q + delta`` into any region that has probability Q
under the neighbouring input. A region is "score above a threshold" or "score not above it"; which statistic, which
threshold and which of the two is fixed on held-out calls, so the counts of the judged calls are binomial and both
rates get their Clopper-Pearson bound at half of the error (Jagielski et al. 2020, arXiv 2006.07709; Nasr et al. 2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedprivacy.metrics.epsilon.bound import EpsilonBound, check_audit
from fedprivacy.metrics.intervals import binomial_lower, binomial_upper
from fedprivacy.metrics.scores import Bool, Float, Int, as_scores

CALLS = "independent calls"
CAUTION = 100
"""A region is chosen by its bound at so small a part of the error: one that rests on a few calls seldom holds."""


@dataclass(frozen=True)
class Pair:
    """Scores of outputs on the ``first`` [n0] and the ``second`` [n1] input; higher says second."""

    first: Float
    second: Float

    def __post_init__(self) -> None:
        as_scores(self.first, "scores of the first input")
        as_scores(self.second, "scores of the second input")


@dataclass(frozen=True)
class Region:
    """Outputs of ``statistic`` above ``threshold``, or not ``above`` it."""

    statistic: str
    threshold: float
    above: bool

    def holds(self, scores: Float) -> Bool:
        """Which of ``scores`` [n] lie in it."""
        inside: Bool = (scores > self.threshold) == self.above
        return inside


def chosen_region(held_out: Mapping[str, Pair], *, delta: float, level: float = 0.95) -> Region:
    """The region of the largest bound on held-out scores, over all statistics, thresholds and both sides.

    Thresholds stand at ranks that grow by a fifth, since each bound rests on the few outputs beyond it. The first
    statistic wins a tie. Raises ValueError without scores, on NaN, and on a bad level or delta.
    """
    tail = check_audit(level, delta) / (2 * CAUTION)
    best, found = -math.inf, None
    for name, pair in held_out.items():
        for above in (True, False):
            # Above: rare with the first input. Not above: rare with the second.
            rare, usual = (pair.first, pair.second) if above else (pair.second, pair.first)
            thresholds = _thresholds(rare, usual, above)
            inside = [Region(name, float(t), above) for t in thresholds]
            wrong = np.array([region.holds(rare).sum() for region in inside])
            right = np.array([region.holds(usual).sum() for region in inside])
            power = _ratio(right, usual.size, wrong, rare.size, delta, tail)
            place = int(np.argmax(power))
            if found is None or power[place] > best:
                best, found = float(power[place]), inside[place]
    if found is None:
        raise ValueError("there are no scores to choose a region by.")
    return found


def epsilon_of_region(region: Region, judged: Pair, *, delta: float, level: float = 0.95) -> EpsilonBound:
    """The bound of a ``region`` that was fixed before the ``judged`` scores were seen."""
    tail = check_audit(level, delta) / 2
    rare, usual = (judged.first, judged.second) if region.above else (judged.second, judged.first)
    right, wrong = int(region.holds(usual).sum()), int(region.holds(rare).sum())
    low = float(_ratio(np.array(right), usual.size, np.array(wrong), rare.size, delta, tail))
    return EpsilonBound(
        low=max(0.0, low),
        ceiling=most_shown(usual.size, rare.size, delta=delta, level=level),
        method="Clopper-Pearson, region from held-out calls",
        level=level,
        delta=delta,
        assumption=CALLS,
        detail={"hits": right, "of": usual.size, "alarms": wrong, "among": rare.size},
    )


def most_shown(usual: int, rare: int, *, delta: float, level: float = 0.95) -> float:
    """The bound of a mechanism that hides nothing, from so many judged calls on each input."""
    tail = check_audit(level, delta) / 2
    return max(0.0, float(_ratio(np.array(usual), usual, np.array(0), rare, delta, tail)))


def _ratio(right: Int, usual: int, wrong: Int, rare: int, delta: float, tail: float) -> Float:
    """log((P - delta) / Q) from the lower bound of P and the upper bound of Q; -inf where P may be delta."""
    left = np.maximum(binomial_lower(right, usual, tail) - delta, 0.0)
    with np.errstate(divide="ignore"):
        ratio: Float = np.log(left / binomial_upper(wrong, rare, tail))
    return ratio


def _thresholds(rare: Float, usual: Float, above: bool) -> Float:
    """Halfway from each of some extreme ``rare`` scores to the next score of either kind that is more extreme."""
    sign = 1.0 if above else -1.0
    ordered = np.sort(sign * rare)[::-1]
    everything = np.unique(sign * np.concatenate([rare, usual]))
    edges = ordered[_ranks(ordered.size)]
    after = np.searchsorted(everything, edges, side="right")
    following = np.where(after < everything.size, everything[np.minimum(after, everything.size - 1)], edges)
    middle = edges + (following - edges) / 2
    # Where no number lies in between, the edge itself: "above" leaves it out, and "not above" must as well.
    inside = (middle > edges) & (middle < following)
    moved = np.where(inside, middle, edges if above else np.nextafter(edges, np.inf))
    return np.asarray(sign * moved)


def _ranks(n: int) -> Int:
    ranks, rank = [], 0
    while rank < n:
        ranks.append(rank)
        rank = max(rank + 1, int(rank * 1.2))
    return np.array(ranks, dtype=np.int64)
