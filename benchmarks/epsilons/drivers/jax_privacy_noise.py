"""jax-privacy's Gaussian privatizer on gradients of either precision.

Noise is drawn in the type of the gradient. In bfloat16 it has few distinct values, the farthest not far out.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from case import Case, each_entry
from jax_privacy import noise_addition

MU_ONE, DELTA = 4.3772, 1e-5
"""Epsilon of one Gaussian release at deviation 1 over distance 1."""


def noised(kind):
    privatizer = noise_addition.gaussian_privatizer(
        stddev=1.0, prng_key=jax.random.key(int(np.random.default_rng().integers(2**31)))
    )
    state = [privatizer.init(jnp.zeros(10_000, kind))]

    def answer(gradient: np.ndarray) -> np.ndarray:
        found, state[0] = privatizer.update(jnp.asarray(gradient, kind), state[0])
        return np.asarray(found.astype(jnp.float32))

    return each_entry(answer)


def case(kind, honest: bool) -> Case:
    return Case(
        f"gaussian_privatizer on {jnp.dtype(kind).name}",
        noised(kind),
        np.zeros(1),
        np.ones(1),
        MU_ONE,
        DELTA,
        "stddev=1 at clip 1, one step: epsilon 4.38 by any accountant",
        "record, add-remove",
        200_000,
        mu=1.0 if honest else None,
        honest=honest,
    )


CASES = [case(jnp.bfloat16, False), case(jnp.float32, True)]
