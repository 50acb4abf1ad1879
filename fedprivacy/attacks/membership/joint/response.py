"""How an optimiser answers to noised gradients: what a change of weights shows of the gradients' mean.

Under differentially private training the noise of a step is far larger, entry by entry, than what the records add, so
every entry goes through the same scalar recursion with the same noise. For gradients ``deviation * (delta + N(0, 1))``
in each step of a round, delta small, the change of a round is ``gain * delta`` plus noise of variance ``variance``.
Gradient descent with or without momentum is linear: both are sums over its answers to single steps. Adam divides by
moments of the noise itself; its gain and variance are taken from a simulation of many entries, the same noise for
delta and -delta. After one step it tells a sign alone, which at a small signal keeps 2/pi of what the gradient told.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.optimisers import Adam, Optimiser

ENTRIES = 1 << 17
"""Entries of a simulation: their variance and gain are within half a percent."""
DELTA = 0.1
"""Signal over noise in the simulation."""


@dataclass(frozen=True)
class Response:
    """Of the change (start minus end) in one round, in the units of the weights."""

    gain: float
    variance: float


@lru_cache(maxsize=64)
def response(optimiser: Optimiser, deviation: float, steps: int, round: int = 1) -> Response:
    """Of ``steps`` steps with noise of ``deviation`` an entry, after ``round - 1`` rounds like it that the optimiser's
    state goes on from."""
    if isinstance(optimiser, Adam):
        return _simulated(optimiser, deviation, steps, round)
    impulses = torch.eye(steps, dtype=torch.float64) * deviation
    weight, state = torch.zeros(steps, dtype=torch.float64), optimiser.fresh(torch.zeros(steps, dtype=torch.float64))
    for number, g in enumerate(impulses, 1):
        weight, state = optimiser.step(weight, state, g, number)
    return Response(float(-weight.sum()), float(weight.square().sum()))


def _simulated(optimiser: Adam, deviation: float, steps: int, rounds: int) -> Response:
    moved = []
    for delta in (DELTA, -DELTA):
        draw = seeds.generator(0, "response", steps)
        state, number = optimiser.fresh(torch.zeros(ENTRIES)), 0
        for _ in range(rounds):
            weight = torch.zeros(ENTRIES)
            for _ in range(steps):
                number += 1
                g = (torch.randn(ENTRIES, generator=draw) + delta) * deviation
                weight, state = optimiser.step(weight, state, g, number)
        moved.append(-weight.double())
    up, down = moved
    return Response(float((up - down).mean() / (2 * DELTA)), float(up.var() + down.var()) / 2)
