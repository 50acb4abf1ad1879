"""Epsilon of a mechanism whose output is Gaussian: an estimate from means and spread, never a verdict.

Two inputs whose scores are N(a, s^2) and N(b, s^2) are told apart as mu = (b - a) / s, and the best test is that of
mu-GDP (Dong, Roth, Su 2022, section 2.3). The interval is that of a standardised mean difference (Hedges and Olkin
1985, chapter 5), wide where calls are few. Scores that cannot have come from one Gaussian each (Jarque and Bera 1980)
get no estimate, nor do those of two spreads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from scipy.special import ndtri

from fedprivacy.metrics.epsilon.bound import check_audit
from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon
from fedprivacy.metrics.epsilon.held_out import Pair
from fedprivacy.metrics.scores import Float

UNLIKE = 1e-4
"""Probability, under Gaussian noise, of scores as skewed or heavy-tailed, below which there is no estimate."""


@dataclass(frozen=True)
class GaussianEstimate:
    """``epsilon`` with its interval, and ``mu``."""

    epsilon: float
    low: float
    high: float
    mu: float


def gaussian_estimate(scores: Pair, *, delta: float, level: float = 0.95) -> GaussianEstimate | None:
    """From scores of independent calls; None where they are not Gaussian, as without any spread.

    Raises ValueError on a bad level, or unless 0 < delta < 1.
    """
    half = -float(ndtri(check_audit(level, delta) / 2))
    sides = (scores.first, scores.second)
    if any(np.ptp(side) == 0 or float(scipy.stats.jarque_bera(side).pvalue) < UNLIKE for side in sides):
        return None
    if _equal_spread(*sides) < UNLIKE:
        return None
    mu = standardised_gap(scores)
    first, second = (side.size for side in sides)
    error = half * math.sqrt(1 / first + 1 / second + mu**2 / (2 * (first + second)))
    middle, low, high = (gdp_epsilon(max(0.0, at), delta) for at in (mu, mu - error, mu + error))
    return GaussianEstimate(middle, low, high, mu)


def _equal_spread(first: Float, second: Float) -> float:
    """Two-sided p-value of equal variances, exact for Gaussian samples (Fisher's ratio)."""
    law = scipy.stats.f(first.size - 1, second.size - 1)
    ratio = float(np.var(first, ddof=1) / np.var(second, ddof=1))
    return 2 * float(min(law.cdf(ratio), law.sf(ratio)))


def standardised_gap(scores: Pair) -> float:
    """Distance of the means over the pooled deviation; infinite without any spread, 0 without a distance."""
    gap = abs(float(np.mean(scores.second)) - float(np.mean(scores.first)))
    n, m = scores.first.size, scores.second.size
    spread = math.sqrt((n * float(np.var(scores.first)) + m * float(np.var(scores.second))) / (n + m))
    return gap / spread if spread else math.inf if gap else 0.0
