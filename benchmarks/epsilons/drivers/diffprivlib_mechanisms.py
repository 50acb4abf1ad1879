"""diffprivlib's mechanisms on numbers, at the sensitivity that they are told."""

from __future__ import annotations

import numpy as np
from case import Case
from diffprivlib import mechanisms as m

DELTA = 1e-5


def case(mechanism, epsilon: float, delta: float = 0.0, far: float = 1.0, **closed) -> Case:
    def noised(given: np.ndarray) -> list[float]:
        value = given[0].item()
        return [mechanism.randomise(int(value) if integers else value)]

    integers = isinstance(mechanism, m.Geometric | m.GaussianDiscrete)
    return Case(
        type(mechanism).__name__,
        noised,
        np.zeros(1),
        np.full(1, far),
        epsilon,
        delta,
        f"epsilon={epsilon:g}, delta={delta:g}, sensitivity={far:g}",
        "any, at the stated sensitivity",
        20_000,
        honest=True,
        **closed,
    )


gaussian = m.Gaussian(epsilon=1.0, delta=DELTA, sensitivity=1.0)
analytic = m.GaussianAnalytic(epsilon=1.0, delta=DELTA, sensitivity=1.0)
CASES = [
    case(m.Laplace(epsilon=1.0, delta=0.0, sensitivity=1.0), 1.0, pure=1.0),
    case(gaussian, 1.0, DELTA, mu=1 / gaussian._scale),
    case(analytic, 1.0, DELTA, mu=1 / analytic._scale),
    case(m.Geometric(epsilon=1.0, sensitivity=1), 1.0, pure=1.0),
    case(m.Staircase(epsilon=1.0, sensitivity=1.0), 1.0, pure=1.0),
    case(m.Snapping(epsilon=1.0, sensitivity=1.0, lower=-10.0, upper=10.0), 1.0, pure=1.0),
]
