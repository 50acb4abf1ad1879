"""What a metric reads when nothing leaks: bands for AUC and TPR at FPR, and an exact test by redrawing the coins."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, gammaln, ndtri

from fedprivacy.metrics.intervals import Interval, check_level
from fedprivacy.metrics.roc import allowed_false_positives
from fedprivacy.metrics.scores import Bool, Float


def auc_chance(n1: int, n0: int, level: float = 0.95) -> Interval:
    """Band of the AUC of a score without leakage: 0.5 +- z sqrt((n1+n0+1) / (12 n1 n0)) (Mann and Whitney 1947)."""
    tail = check_level(level) / 2
    if n1 < 1 or n0 < 1:
        raise ValueError(f"both groups need a candidate, got {n1} and {n0}.")
    half = float(ndtri(1 - tail)) * math.sqrt((n1 + n0 + 1) / (12 * n1 * n0))
    return Interval(0.5, max(0.0, 0.5 - half), min(1.0, 0.5 + half), level, "normal band of no leakage")


def tpr_chance(n1: int, n0: int, fpr: float, level: float = 0.95) -> Interval:
    """Band of the TPR at ``fpr`` of a continuous score without leakage.

    The true positives follow BetaBinomial(n1, a+1, n0-a) with a = floor(fpr * n0), so their mean is
    n1 (a+1) / (n0+1) and the band is wide: far above ``fpr`` at a low FPR. ``value`` is the mean; ends are exact
    quantiles. With ties the TPR can only be lower.
    """
    tail = check_level(level) / 2
    if n1 < 1 or n0 < 1:
        raise ValueError(f"both groups need a candidate, got {n1} and {n0}.")
    allowed = allowed_false_positives(n0, fpr)
    cumulative = np.cumsum(_beta_binomial(n1, allowed + 1, n0 - allowed))
    cumulative /= cumulative[-1]
    low, high = np.searchsorted(cumulative, [tail, 1 - tail])
    mean = (allowed + 1) / (n0 + 1)
    return Interval(mean, int(low) / n1, int(high) / n1, level, "beta-binomial band of no leakage")


def _beta_binomial(n: int, a: int, b: int) -> Float:
    """P[k successes of ``n``] for k = 0 .. n where the rate is Beta(a, b)."""
    count = np.arange(n + 1, dtype=np.float64)
    ways = gammaln(n + 1) - gammaln(count + 1) - gammaln(n - count + 1)
    chances: Float = np.exp(ways + betaln(count + a, n - count + b) - betaln(a, b))
    return chances


@dataclass(frozen=True)
class NullTest:
    """One-sided p-value of ``observed`` among ``redraws`` values under no leakage, whose mean and sd are given."""

    observed: float
    p_value: float
    null_mean: float
    null_sd: float
    redraws: int


def null_test(metric: Callable[[Bool], float], coins: Bool, rng: np.random.Generator, redraws: int = 999) -> NullTest:
    """Exact test of a whole pipeline: is ``metric(coins)`` larger than with coins that nobody trained by?

    ``metric`` gets a coin array of the shape of ``coins`` and recomputes everything that used the coins (references,
    scores, the metric), larger meaning more leakage. ``coins`` is the whole matrix of the bank, target and
    references, of independent fair coins. p = (1 + #{T* >= T}) / (1 + redraws), so P[p <= x] <= x under no leakage.
    Raises ValueError if the metric is ever NaN.
    """
    if coins.dtype != np.bool_ or redraws < 1:
        raise ValueError("null_test needs boolean coins and at least one redraw.")
    observed = float(metric(coins))
    null = np.array([float(metric(rng.random(coins.shape) < 0.5)) for _ in range(redraws)])
    if math.isnan(observed) or np.isnan(null).any():
        raise ValueError("the metric is NaN for some coins, so it cannot be compared.")
    p_value = (1 + int((null >= observed).sum())) / (1 + redraws)
    return NullTest(observed, p_value, float(null.mean()), float(null.std()), redraws)
