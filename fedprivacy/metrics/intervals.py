"""Confidence intervals for proportions, for means over repetitions and for paired differences.

A selection (worst client, best statistic) is paid for by :func:`corrected_level`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainccinv, betaincinv, ndtri, stdtrit

from fedprivacy.metrics.scores import Float


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided interval at ``level``; ``method`` names the rule, ``note`` what to know of it."""

    value: float
    low: float
    high: float
    level: float
    method: str
    note: str = ""


def check_level(level: float) -> float:
    """The two-sided error 1 - ``level``; raises ValueError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}.")
    return 1 - level


def corrected_level(level: float, comparisons: int) -> float:
    """The level of each of ``comparisons`` intervals that together hold at ``level`` (Bonferroni)."""
    if comparisons < 1:
        raise ValueError(f"comparisons must be at least 1, got {comparisons}.")
    return 1 - check_level(level) / comparisons


def widened(value: float, end: float, level: float, comparisons: int, repetitions: int | None = None) -> float:
    """Where the ``end`` of an interval around ``value`` at ``level`` lies once it is one of ``comparisons``.

    Distances grow as quantiles of Student's t over ``repetitions`` do, of the normal law where None: approximate for
    ends that were found in another way. Raises ValueError on a bad level or fewer than one comparison.
    """
    tails = [(1 - one) / 2 for one in (level, corrected_level(level, comparisons))]
    before, after = (-ndtri(tail) if repetitions is None else -stdtrit(max(1, repetitions - 1), tail) for tail in tails)
    return value + (end - value) * float(after / before)


def binomial_lower(successes: ArrayLike, n: ArrayLike, tail: float) -> Float:
    """Clopper-Pearson lower bound of a proportion, one-sided error ``tail``; arrays broadcast, 0 at no success."""
    hits, total = np.broadcast_arrays(np.asarray(successes), np.asarray(n))
    bound: Float = np.where(hits > 0, betaincinv(np.maximum(hits, 1), total - np.maximum(hits, 1) + 1, tail), 0.0)
    return bound


def binomial_upper(successes: ArrayLike, n: ArrayLike, tail: float) -> Float:
    """Clopper-Pearson upper bound of a proportion, one-sided error ``tail``; arrays broadcast, 1 at full count."""
    hits, total = np.broadcast_arrays(np.asarray(successes), np.asarray(n))
    bound: Float = np.where(hits < total, betainccinv(hits + 1, np.maximum(total - hits, 1), tail), 1.0)
    return bound


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval of a proportion (Clopper and Pearson 1934). Raises ValueError unless 0 <= successes <= n."""
    tail = check_level(level) / 2
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0 .. n with n >= 1, got {successes} of {n}.")
    low, high = float(binomial_lower(successes, n, tail)), float(binomial_upper(successes, n, tail))
    return Interval(successes / n, low, high, level, "Clopper-Pearson")


def mean_interval(
    values: ArrayLike, level: float = 0.95, within: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Student-t interval of the mean of ``values`` [F], one per repetition (federation, seed).

    ``within`` is the range that the metric can take; the interval is cut to it. One repetition has no spread, so its
    interval is all of ``within``. Non-finite values raise ValueError. Approximate where repetitions share a pool.
    """
    tail = check_level(level) / 2
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("values must be a non-empty vector of finite numbers.")
    mean = float(sample.mean())
    if sample.size == 1:
        return Interval(mean, *within, level, "t over repetitions", "one repetition has no spread")
    half = float(stdtrit(sample.size - 1, 1 - tail)) * float(sample.std(ddof=1)) / math.sqrt(sample.size)
    low, high = max(within[0], mean - half), min(within[1], mean + half)
    return Interval(mean, low, high, level, "t over repetitions", "" if half > 0 else "all repetitions are equal")


def paired_interval(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> Interval:
    """Student-t interval of the mean of ``first - second`` [F], pair by pair (same seed, same images)."""
    left, right = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if left.shape != right.shape:
        raise ValueError(f"pairs need equal shapes, got {left.shape} and {right.shape}.")
    found = mean_interval(left - right, level)
    return Interval(found.value, found.low, found.high, level, "t over paired differences", found.note)


def share_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of the mean of hits [n] in [0, 1], most of them 0 or 1: Clopper-Pearson.

    A hit that is shared among ties is rounded away from the middle of the interval, which can only widen it. Unlike
    Student's t it has a width where all hits are equal.
    """
    tail = check_level(level) / 2
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not ((sample >= 0) & (sample <= 1)).all():
        raise ValueError("values must be a non-empty vector of shares.")
    total = float(sample.sum())
    low = float(binomial_lower(math.floor(total + 1e-9), sample.size, tail))
    high = float(binomial_upper(math.ceil(total - 1e-9), sample.size, tail))
    return Interval(float(sample.mean()), low, high, level, "Clopper-Pearson")


def bootstrap_mean(values: ArrayLike, rng: np.random.Generator, level: float = 0.95, resamples: int = 2000) -> Interval:
    """Percentile bootstrap of the mean of ``values`` [n] over its entries (images, clients). Approximate."""
    tail = check_level(level) / 2
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("values must be a non-empty vector of finite numbers.")
    means = sample[rng.integers(sample.size, size=(resamples, sample.size))].mean(axis=1)
    low, high = np.quantile(means, [tail, 1 - tail])
    note = "one value has no spread" if sample.size == 1 else "approximate"
    return Interval(float(sample.mean()), float(low), float(high), level, "percentile bootstrap", note)
