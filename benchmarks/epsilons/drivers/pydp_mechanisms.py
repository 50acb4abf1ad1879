"""PyDP's bindings to the mechanisms of Google's C++ library."""

from __future__ import annotations

import numpy as np
from case import Case
from pydp.algorithms.numerical_mechanisms import GaussianMechanism, LaplaceMechanism

DELTA = 1e-5
laplace = LaplaceMechanism(1.0, 1.0)
gaussian = GaussianMechanism(1.0, DELTA, 1.0)


def case(mechanism, delta: float, **closed) -> Case:
    return Case(
        type(mechanism).__name__,
        lambda x: [mechanism.add_noise(float(x[0]))],
        np.zeros(1),
        np.ones(1),
        1.0,
        delta,
        f"epsilon=1, delta={delta:g}, sensitivity=1",
        "any, at the stated sensitivity",
        20_000,
        honest=True,
        **closed,
    )


CASES = [case(laplace, 0.0, pure=1.0), case(gaussian, DELTA, mu=1 / gaussian.std)]
