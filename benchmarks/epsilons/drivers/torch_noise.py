"""torch's own distributions as noise, in half and in single precision."""

from __future__ import annotations

import numpy as np
import torch
from case import Case, each_entry

DELTA = 1e-5


def laplace(kind: torch.dtype):
    zero, one = torch.zeros(10_000, dtype=kind), torch.ones(10_000, dtype=kind)
    noise = torch.distributions.Laplace(zero, one)
    return each_entry(lambda x: (torch.as_tensor(x, dtype=kind) + noise.sample()).double().numpy())


def gaussian(kind: torch.dtype):
    return each_entry(lambda x: (torch.as_tensor(x, dtype=kind) + torch.randn(10_000, dtype=kind)).double().numpy())


def case(name: str, mechanism, stated: float, delta: float, kind: torch.dtype, **closed) -> Case:
    words = str(kind).removeprefix("torch.")
    honest = kind == torch.float32
    return Case(
        f"{name} in {words}",
        mechanism,
        np.zeros(1),
        np.ones(1),
        stated,
        delta,
        "scale 1 at distance 1",
        "any, at the stated distance",
        200_000,
        honest=honest,
        **(closed if honest else {}),
    )


CASES = [
    case("Laplace", laplace(torch.bfloat16), 1.0, 0.0, torch.bfloat16),
    case("Laplace", laplace(torch.float32), 1.0, 0.0, torch.float32, pure=1.0),
    case("randn", gaussian(torch.bfloat16), 4.3772, DELTA, torch.bfloat16),
    case("randn", gaussian(torch.float32), 4.3772, DELTA, torch.float32, mu=1.0),
]
