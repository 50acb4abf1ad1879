"""Lower bound of epsilon from one training run, held against a Gaussian trade-off curve.

Mahloujifar, Melis, Chaudhuri, "Auditing f-Differential Privacy in One Run" (2024). It tests a claim of mu-GDP and is
stronger than the (epsilon, delta) test where the accountant's curve is Gaussian; elsewhere it means nothing. The test
of any curve is :mod:`fedprivacy.metrics.epsilon.one_run_curve`.
"""

from __future__ import annotations

from functools import lru_cache

from fedprivacy.metrics.epsilon import one_run_curve
from fedprivacy.metrics.epsilon.bound import ASSUMPTIONS, EpsilonBound, check_audit
from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon
from fedprivacy.metrics.epsilon.one_run import check_counts
from fedprivacy.metrics.epsilon.trade_off import GaussianCurve


def refutes(m: int, r: int, v: int, mu: float, error: float) -> bool:
    """Whether ``v`` right of ``r`` guesses on ``m`` canaries refute ``mu``-GDP at one-sided ``error``."""
    return one_run_curve.refutes(m, r, v, GaussianCurve(mu), error)


@lru_cache(maxsize=4096)
def one_run_mu(m: int, r: int, v: int, error: float) -> float:
    """Largest mu refuted at one-sided ``error``; 0 if none. Raises ValueError on impossible counts."""
    check_counts(m, r, v)
    if not refutes(m, r, v, 0.0, error):
        return 0.0
    low, high = 0.0, 1.0
    while refutes(m, r, v, high, error):
        low, high = high, 2 * high
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if refutes(m, r, v, middle, error) else (low, middle)
    return low


def one_run_gaussian_bound(m: int, r: int, v: int, delta: float, error: float) -> float:
    """:func:`one_run_mu` as an epsilon at ``delta``."""
    return gdp_epsilon(one_run_mu(m, r, v, error), delta)


def one_run_gaussian_epsilon(m: int, r: int, v: int, *, delta: float, level: float = 0.95) -> EpsilonBound:
    """Bound from ``v`` right of ``r`` guesses on ``m`` canaries for a Gaussian mechanism; r fixed beforehand.

    Raises ValueError on impossible counts, or unless 0 < level < 1 and 0 < delta < 1.
    """
    error = check_audit(level, delta)
    return EpsilonBound(
        low=one_run_gaussian_bound(m, r, v, delta, error),
        ceiling=one_run_gaussian_bound(m, r, r, delta, error),
        method="one run, Gaussian DP, guesses fixed",
        level=level,
        delta=delta,
        assumption=ASSUMPTIONS["gaussian"],
        detail={"m": m, "r": r, "v": v},
    )
