"""Epsilon by composing privacy loss distributions, through dp-accounting: the tightest upper bound of the three.

Distributions are built one mechanism at a time and composed here, not through dp-accounting's event classes: its
event for randomised response forgets how often it happened, and its Gaussian event doubles the sensitivity under
replace-one. All noise multipliers are over the true sensitivity already, so every distribution is that of a shift
by one. Rounding is pessimistic.

A matrix under Laplace noise costs no more than one number with the same L1 sensitivity: changing one entry by s after
another by t is group privacy, whose bound for a log-concave location family is exactly the curve of one shift by s + t
(Dong, Roth and Su 2022, Section 2.4).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from dp_accounting.pld import privacy_loss_distribution as pld
from numpy.typing import NDArray

from fedprivacy.privacy.ledger import Ledger

GRID = ((2.0, 1e-4), (30.0, 3e-4), (math.inf, 1e-3))
"""Step of the privacy loss by what epsilon is below. Rounding is upward and costs less than 1e-4 of epsilon."""


def epsilon(book: Ledger, delta: float, about: float) -> float:
    """Epsilon of all that is in ``book`` together, at ``delta``; ``about`` is a rough upper bound that sets the grid.

    Add-remove for Poisson sampling; the relation of the stated sensitivities for everything else. Raises ValueError
    where there is a release without noise.
    """
    return float(_composed(book, about).get_epsilon_for_delta(delta))


def profile(book: Ledger, epsilons: NDArray[np.float64], about: float) -> NDArray[np.float64]:
    """The smallest delta [k] that can be shown for each of ``epsilons`` [k], at least 0; raises as :func:`epsilon`."""
    found = _composed(book, about).get_delta_for_epsilon([float(e) for e in epsilons])
    return np.asarray(found, dtype=np.float64)


def _composed(book: Ledger, about: float) -> Any:
    if book.bare:
        raise ValueError("a release without noise has no privacy loss distribution")
    step = _step(book, about)
    parts: list[Any] = []
    if book.mu_squared:
        parts.append(pld.from_gaussian_mechanism(book.mu_squared**-0.5, value_discretization_interval=step))
    for (cost,), number in book.laplace:
        one = pld.from_laplace_mechanism(1 / cost, value_discretization_interval=step)
        parts.append(one.self_compose(number))
    for (cost, classes), number in book.response:
        noise = classes / (math.exp(cost) + classes - 1)
        one = pld.from_randomized_response(noise, int(classes), value_discretization_interval=step)
        parts.append(one.self_compose(number))
    for (multiplier, q), steps in book.sampled:
        one = pld.from_gaussian_mechanism(multiplier, value_discretization_interval=step, sampling_prob=q)
        parts.append(one.self_compose(steps))
    whole = pld.identity(value_discretization_interval=step)
    for part in parts:
        whole = whole.compose(part)
    return whole


def _step(book: Ledger, about: float) -> float:
    """Where many labels are randomised, a step that divides their epsilon0: else each rounds up by half a step."""
    step = next(step for below, step in GRID if about < below)
    if not book.response:
        return step
    (cost, _), _ = max(book.response, key=lambda item: item[1])
    return cost / math.ceil(cost / step) * (1 + 1e-12)
