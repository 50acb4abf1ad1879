"""Epsilon by Renyi differential privacy, through dp-accounting: the cross-check, fast and 8 to 15 % above the truth.

Mironov 2017 (arXiv 1702.07476); Poisson sampling after Mironov, Talwar and Zhang 2019 (arXiv 1908.10530).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dp_accounting import dp_event
from dp_accounting.privacy_accountant import NeighboringRelation
from dp_accounting.rdp import rdp_privacy_accountant as rdp

from fedprivacy.privacy.ledger import Ledger

ORDERS = (*(1 + x / 10 for x in range(1, 100)), *range(11, 64), 72, 96, 128, 192, 256, 384, 512, 1024, 4096)


def epsilon(book: Ledger, delta: float) -> float:
    """Epsilon of all that is in ``book`` together, at ``delta``. Raises ValueError where there is no noise.

    Randomised response is accounted for between any two labels, which holds under both relations.
    """
    if book.bare:
        raise ValueError("a release without noise has no Renyi divergence")
    plain: Any = rdp.RdpAccountant(ORDERS, NeighboringRelation.ADD_OR_REMOVE_ONE)
    swapped: Any = rdp.RdpAccountant(ORDERS, NeighboringRelation.REPLACE_ONE)
    if book.mu_squared:
        plain.compose(dp_event.GaussianDpEvent(book.mu_squared**-0.5))
    for (cost,), number in book.laplace:
        plain.compose(dp_event.LaplaceDpEvent(1 / cost), number)
    for (multiplier, q), steps in book.sampled:
        with _quiet():
            plain.compose(dp_event.PoissonSampledDpEvent(q, dp_event.GaussianDpEvent(multiplier)), steps)
    for (cost, classes), number in book.response:
        noise = classes / (math.exp(cost) + classes - 1)
        swapped.compose(dp_event.RandomizedResponseDpEvent(noise, int(classes)), number)
    value, _ = rdp.compute_epsilon(plain.orders, plain.rdp + swapped.rdp, delta)
    return float(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the line that a low order of the sampled Gaussian left out writes: the bound stands without it."""
    absl = logging.getLogger("absl")

    def other(record: logging.LogRecord) -> bool:
        return "failed to converge" not in str(record.msg)

    absl.addFilter(other)
    try:
        yield
    finally:
        absl.removeFilter(other)
