"""How an optimiser answers to noised gradients: what a change of weights shows of the gradients' mean.

Under differentially private training the noise of a step is far larger, entry by entry, than what the records add, so
every entry goes through the same scalar recursion with the same noise. For gradients ``deviation * (delta + N(0, 1))``
in each step of a round, delta small, the change of a round is ``gain * delta`` plus noise of variance ``variance``.
Where the optimiser's state goes on from round to round, so does what it holds of earlier gradients: their noise is in
the variance, and delta in the gain where it was theirs as well. Gradient descent with or without momentum is linear:
both are sums over its answers to single steps. Adam divides by moments of the noise itself; its gain and variance are
taken from a simulation of many entries, the same noise for delta and -delta. After one step it tells a sign alone,
which at a small signal keeps 2/pi of what the gradient told.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.optimisers import Adam, Optimiser, Sgd

ENTRIES = 1 << 17
"""Entries of a simulation: their variance and gain are within half a percent."""
DELTA = 0.1
"""Signal over noise in the simulation."""
SETTLED = 100
"""Steps after which Adam's moments are as they stay, to a percent of gain and variance."""


@dataclass(frozen=True)
class Response:
    """Of the change (start minus end) in one round, in the units of the weights."""

    gain: float
    variance: float


@lru_cache(maxsize=256)
def response(optimiser: Optimiser, deviation: float, steps: int, round: int = 1, apart: bool = False) -> Response:
    """Of ``steps`` steps with noise of ``deviation`` an entry, after ``round - 1`` rounds like it that the optimiser's
    state goes on from; ``apart``: in those, delta was 0."""
    if isinstance(optimiser, Adam):
        return _simulated(optimiser, deviation, steps, min(round, 1 + ceil(SETTLED / steps)), apart)
    moved = _impulse(optimiser, steps * round) * deviation
    ages = torch.arange(1, steps * round + 1)
    weights = moved[ages] - moved[(ages - steps).clamp_min(0)]
    signal = weights[:steps] if apart else weights
    return Response(float(signal.sum()), float(weights.square().sum()))


def _impulse(optimiser: Sgd, steps: int) -> Tensor:
    """Where one gradient of 1 has moved a weight [steps + 1] after so many steps, its own the first."""
    weight = torch.zeros(1, dtype=torch.float64)
    state, found = optimiser.fresh(weight), [weight]
    for number in range(1, steps + 1):
        g = torch.full_like(weight, float(number == 1))
        weight, state = optimiser.step(weight, state, g, number)
        found.append(-weight)
    return torch.cat(found)


def _simulated(optimiser: Adam, deviation: float, steps: int, rounds: int, apart: bool) -> Response:
    moved = []
    for delta in (DELTA, -DELTA):
        draw = seeds.generator(0, "response", steps)
        state, number = optimiser.fresh(torch.zeros(ENTRIES)), 0
        for round in range(1, rounds + 1):
            weight, signal = torch.zeros(ENTRIES), 0.0 if apart and round < rounds else delta
            for _ in range(steps):
                number += 1
                g = (torch.randn(ENTRIES, generator=draw) + signal) * deviation
                weight, state = optimiser.step(weight, state, g, number)
        moved.append(-weight.double())
    up, down = moved
    return Response(float((up - down).mean() / (2 * DELTA)), float(up.var() + down.var()) / 2)
