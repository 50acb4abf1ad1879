"""Lower bound of epsilon from one training run with many canaries.

Steinke, Nasr, Jagielski, "Privacy Auditing with One (1) Training Run" (2023), theorem 5.2. Each of m canaries is
included by its own fair coin; the auditor guesses r of the coins and gets v right. If the mechanism is
(epsilon, delta)-DP, then with S(k) = P[Binomial(r, e^eps / (1 + e^eps)) >= k]

    P[v or more right] <= S(v) + 2 m delta max_{1 <= i <= v} (S(v-i) - S(v)) / i.

Unlike a Clopper-Pearson audit it needs no independence between the guesses.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import scipy
from scipy.special import betainc, gammaln

from fedprivacy.metrics.epsilon.bound import ASSUMPTIONS, EpsilonBound, check_audit
from fedprivacy.metrics.scores import Float


def check_counts(m: int, r: int, v: int) -> None:
    """Raises ValueError unless 0 <= v <= r <= m and m >= 1."""
    if not (0 <= v <= r <= m and m >= 1):
        raise ValueError(f"need 0 <= correct <= guesses <= canaries, got {v}, {r}, {m}.")


def one_run_p_value(m: int, r: int, v: int, epsilon: float, *, delta: float) -> float:
    """P-value of "(``epsilon``, ``delta``)-DP" when ``v`` of ``r`` guesses on ``m`` canaries are right.

    ``m`` counts the canaries that were not guessed too. Raises ValueError on impossible counts or delta.
    """
    check_counts(m, r, v)
    check_audit(0.5, delta)
    return _p_value(m, r, v, epsilon, delta, _log_ways(r, v))


def _log_ways(r: int, v: int) -> Float:
    """log of the binomial coefficient (r over k) for k = v-1, ..., 0."""
    k = np.arange(v - 1, -1, -1, dtype=np.float64)
    ways: Float = gammaln(r + 1) - gammaln(k + 1) - gammaln(r - k + 1)
    return ways


def _p_value(m: int, r: int, v: int, epsilon: float, delta: float, log_ways: Float) -> float:
    if v == 0:
        return 1.0
    tail = float(betainc(v, r - v + 1, 1 / (1 + math.exp(-epsilon))))
    if delta == 0:
        return tail
    log_right = -math.log1p(math.exp(-epsilon))
    k = np.arange(v - 1, -1, -1)
    below = np.cumsum(np.exp(log_ways + k * log_right + (r - k) * (log_right - epsilon)))
    return min(1.0, tail + 2 * m * delta * float(np.max(below / np.arange(1, v + 1))))


@lru_cache(maxsize=4096)
def one_run_bound(m: int, r: int, v: int, delta: float, error: float) -> float:
    """Largest epsilon refuted at one-sided ``error`` by ``v`` right of ``r`` guesses on ``m`` canaries; 0 if none."""
    check_counts(m, r, v)
    ways = _log_ways(r, v)
    if _p_value(m, r, v, 0.0, delta, ways) > error:
        return 0.0
    high = 1.0
    while _p_value(m, r, v, high, delta, ways) <= error:
        high *= 2
    return float(scipy.optimize.brentq(lambda e: _p_value(m, r, v, e, delta, ways) - error, 0.0, high, xtol=1e-10))


def one_run_epsilon(m: int, r: int, v: int, *, delta: float, level: float = 0.95) -> EpsilonBound:
    """Bound from ``v`` right of ``r`` guesses on ``m`` canaries, where r was fixed before the scores were seen.

    Raises ValueError on impossible counts, or unless 0 < level < 1 and 0 <= delta < 1.
    """
    error = check_audit(level, delta)
    return EpsilonBound(
        low=one_run_bound(m, r, v, delta, error),
        ceiling=one_run_bound(m, r, r, delta, error),
        method="one run, guesses fixed",
        level=level,
        delta=delta,
        assumption=ASSUMPTIONS["dp"],
        detail={"m": m, "r": r, "v": v},
    )
