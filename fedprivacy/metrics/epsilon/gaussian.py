"""Gaussian differential privacy: from mu to (epsilon, delta) and back.

Dong, Roth, Su, "Gaussian Differential Privacy" (2022), corollary 1:
delta(epsilon) = Phi(-epsilon/mu + mu/2) - e^epsilon Phi(-epsilon/mu - mu/2).
"""

from __future__ import annotations

import math
from functools import lru_cache

import scipy
from scipy.special import log_ndtr


def _log_delta(mu: float, epsilon: float) -> float:
    first = float(log_ndtr(mu / 2 - epsilon / mu))
    second = epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))
    return first + math.log(-math.expm1(second - first)) if second < first else -math.inf


@lru_cache(maxsize=4096)
def gdp_epsilon(mu: float, delta: float) -> float:
    """The smallest epsilon for which every ``mu``-GDP mechanism is (epsilon, ``delta``)-DP; 0 for mu <= 0.

    Solved in the log domain. Raises ValueError unless 0 < delta < 1: at delta 0 no epsilon is enough.
    """
    if not 0 < delta < 1:
        raise ValueError(f"a Gaussian mechanism needs delta strictly between 0 and 1, got {delta}.")
    if mu <= 0 or _log_delta(mu, 0.0) <= math.log(delta):
        return 0.0
    high = 1.0
    while _log_delta(mu, high) > math.log(delta):
        high *= 2
    # -inf (a delta that underflows) would break the interpolation, so it is cut far below any delta.
    floor = math.log(delta) - 100
    return float(
        scipy.optimize.brentq(
            lambda e: max(floor, _log_delta(mu, e)) - math.log(delta), 0.0, high, xtol=1e-12, rtol=1e-14
        )
    )


@lru_cache(maxsize=4096)
def gdp_mu(epsilon: float, delta: float) -> float:
    """The largest mu for which a mu-GDP mechanism is (``epsilon``, ``delta``)-DP: inverse of :func:`gdp_epsilon`.

    Raises ValueError unless epsilon >= 0 and 0 < delta < 1.
    """
    if epsilon < 0 or not 0 < delta < 1:
        raise ValueError(f"need epsilon >= 0 and 0 < delta < 1, got {epsilon} and {delta}.")
    high = 1.0
    while _log_delta(high, epsilon) <= math.log(delta):
        high *= 2
    floor = math.log(delta) - 100
    return float(
        scipy.optimize.brentq(
            lambda mu: max(floor, _log_delta(mu, epsilon)) - math.log(delta), 1e-12, high, xtol=1e-13, rtol=1e-14
        )
    )
