"""What a statistic of outputs is, and all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from fedprivacy.attacks.mechanism.learned import learned
from fedprivacy.attacks.mechanism.linear import joint, projection, weighted
from fedprivacy.attacks.mechanism.values import values
from fedprivacy.metrics.scores import Float


class Statistic(Protocol):
    """Orders outputs [n, d] by how much they look like the second input's."""

    @property
    def name(self) -> str: ...

    def score(self, outputs: Float) -> Float:
        """[n], higher says second; never NaN."""


def fitted(first: Float, second: Float, difference: Float | None, rng: np.random.Generator) -> Sequence[Statistic]:
    """All statistics, from outputs [n0, d] and [n1, d] on both inputs, the plain ones first.

    ``difference`` [d]: second input minus first, where the outputs have their shape. The classifier rests on the
    others, so it learns from half of the calls that they did not see.
    """
    half_first, half_second = len(first) // 2, len(second) // 2
    early, late = (first[:half_first], second[:half_second]), (first[half_first:], second[half_second:])
    plain: list[Statistic] = [projection(*early, difference), weighted(*early, difference), values(*early)]
    whole = joint(*early)
    if whole is not None:
        plain.append(whole)
    return [*plain, learned(plain, *late, rng)]
