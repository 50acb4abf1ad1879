"""Privacy figures that have a formula: Gaussian noise, randomised response, subsampling, groups, relations."""

from __future__ import annotations

import math
from typing import cast

import scipy
from scipy import special


def gaussian_delta(epsilon: float, mu: float) -> float:
    """Exact delta of Gaussian noise at ``epsilon``, with ``mu`` = sensitivity over standard deviation.

    ``Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu)`` (Balle and Wang 2018, arXiv 1805.06530, Theorem 8). Releases
    with mu_1, mu_2, ... together are one with ``sqrt(mu_1^2 + mu_2^2 + ...)`` (Dong, Roth and Su 2022).
    """
    if mu == 0:
        return 0.0
    upper = float(special.log_ndtr(mu / 2 - epsilon / mu))
    lower = epsilon + float(special.log_ndtr(-mu / 2 - epsilon / mu))
    return math.exp(upper) * max(0.0, -math.expm1(lower - upper))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Smallest epsilon with ``gaussian_delta(epsilon, mu) <= delta``; rounded upward, never below it."""
    _check_delta(delta)
    if gaussian_delta(0.0, mu) <= delta:
        return 0.0
    high = 1.0
    while gaussian_delta(high, mu) > delta:
        high *= 2
    root = cast(
        "float", scipy.optimize.brentq(lambda e: gaussian_delta(e, mu) - delta, 0.0, high, xtol=1e-12, rtol=1e-12)
    )
    while gaussian_delta(root, mu) > delta:
        root += 1e-12 * max(1.0, root)
    return root


def kept_share(epsilon0: float, classes: int) -> float:
    """Probability that randomised response over ``classes`` reports the true class."""
    return 1.0 / (1.0 + (classes - 1) * math.exp(-epsilon0))


def subsampling(n: int, k: int, replacement: bool) -> tuple[float, float]:
    """(epsilon, delta) of drawing ``k`` of ``n`` records and adding no noise (FedMD-NFDP, arXiv 2009.05537).

    With replacement ``k ln((n+1)/n)`` and ``1 - ((n-1)/n)^k``; without, ``ln((n+1)/(n+1-k))`` and ``k/n``. The delta
    is the probability that a record is in the draw, where it has no protection at all.
    """
    if not 1 <= k <= n:
        raise ValueError("k of n records: 1 <= k <= n")
    if replacement:
        return k * math.log1p(1 / n), -math.expm1(k * math.log1p(-1 / n)) if n > 1 else 1.0
    return math.log((n + 1) / (n + 1 - k)), k / n


def for_copies(epsilon: float, delta: float, copies: int) -> tuple[float, float]:
    """What (epsilon, delta) for one record gives somebody who holds ``copies`` of it (Dwork and Roth 2014)."""
    if epsilon == 0:
        return 0.0, min(1.0, copies * delta)
    if copies * epsilon > 700:
        return copies * epsilon, 1.0
    return copies * epsilon, min(1.0, delta * math.expm1(copies * epsilon) / math.expm1(epsilon))


def replace_one(epsilon: float, delta: float) -> tuple[float, float]:
    """What (epsilon, delta) under add-remove gives under replace-one: one record out, another in."""
    return 2 * epsilon, min(1.0, (1 + math.exp(min(epsilon, 700.0))) * delta)


def _check_delta(delta: float) -> None:
    if not 0 < delta < 1:
        raise ValueError(f"delta must be in (0, 1), not {delta}")
