"""The least noise with which a whole run stays within a stated epsilon. Solved on the accountant itself.

Every solution is checked on the side of more noise, so the epsilon that is claimed afterwards never exceeds the one
that was asked for. The textbook rule for Gaussian noise is a theorem only below epsilon 1 and is not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import scipy

from fedprivacy.privacy.accountant import epsilon_of
from fedprivacy.privacy.ledger import ledger
from fedprivacy.privacy.mechanisms import (
    Gaussian,
    GaussianHistogramVote,
    Laplace,
    Mechanism,
    PoissonSampledGaussian,
    RandomizedResponse,
)

PRECISION = 1e-5
"""Relative precision of a solution."""


def gaussian_multiplier(epsilon: float, delta: float, releases: int = 1) -> float:
    """Noise multiplier of each of ``releases`` Gaussian releases that together cost ``epsilon``."""
    return 1 / most_leak(lambda leak: [Gaussian(1 / leak)] * releases, epsilon, delta)


def laplace_epsilon(epsilon: float, delta: float, releases: int = 1) -> float:
    """Pure epsilon of each of ``releases`` Laplace releases that together cost ``epsilon``; at least their share."""
    return most_leak(lambda leak: [Laplace(leak)] * releases, epsilon, delta, start=epsilon / releases)


def response_epsilon0(epsilon: float, delta: float, classes: int, labels: int) -> float:
    """epsilon0 of each of ``labels`` randomised labels that together cost ``epsilon``."""
    return most_leak(lambda leak: [RandomizedResponse(leak, classes, labels)], epsilon, delta, start=epsilon / labels)


def vote_deviation(epsilon: float, delta: float, votes: int) -> float:
    """Standard deviation on the counts of each of ``votes`` tallies that together cost ``epsilon``."""
    return 1 / most_leak(lambda leak: [GaussianHistogramVote(1 / leak, votes)], epsilon, delta)


def dp_sgd_multiplier(epsilon: float, delta: float, q: float, steps: int) -> float:
    """Noise multiplier of ``steps`` Poisson-sampled steps of rate ``q`` that together cost ``epsilon``."""
    return 1 / most_leak(lambda leak: [PoissonSampledGaussian(1 / leak, q, steps)], epsilon, delta)


def most_leak(
    mechanisms: Callable[[float], list[Mechanism]], epsilon: float, delta: float, start: float = 1.0
) -> float:
    """The largest ``leak`` (the larger, the less noise) for which ``mechanisms(leak)`` cost at most ``epsilon``.

    The cost must grow with the leak. Raises ValueError for an epsilon that is not positive and finite.
    """
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise ValueError(f"epsilon must be positive and finite, not {epsilon}")

    def excess(log_leak: float) -> float:
        cost = epsilon_of(ledger(mechanisms(math.exp(log_leak))), delta).epsilon
        return math.log(max(cost, 1e-12) / epsilon)

    low = high = math.log(start)
    if excess(high) > 0:
        while excess(low := high - math.log(2)) > 0:
            high = low
    else:
        while excess(high := low + math.log(2)) <= 0:
            low = high
    root = cast("float", scipy.optimize.brentq(excess, low, high, xtol=PRECISION / 4))
    while excess(root) > 0:
        root -= PRECISION / 2
    return math.exp(root)
