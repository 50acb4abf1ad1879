"""How an optimiser answers to noised gradients: what changes of weights show of the gradients' means.

Under differentially private training the noise of a step is far larger, entry by entry, than what the records add, so
every entry goes through the same scalar recursion with the same noise. For gradients ``deviation * (delta_s + N(0,
1))`` in each step of round s, delta small, the change of round r is ``sum_s gain[r, s] delta_s`` plus noise; where the
optimiser's state goes on from round to round, so does what it holds of earlier gradients, and noise of different rounds
has a covariance. Gradient descent with or without momentum is linear: both are sums over its answers to single steps.
Adam divides by moments of the noise itself, so both come from a simulation of many entries without any signal: the gain
is then ``E[change_r sum of the noise of round s]`` (Stein 1981, Annals of Statistics 9, Lemma 1). After one step Adam
tells a sign alone, which at a small signal keeps 2/pi of what the gradient told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import ceil, log

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.optimisers import Adam, Optimiser, Sgd

ENTRIES, AT_ONCE = 1 << 17, 1 << 14
"""Entries of a simulation, and those that are simulated together: variance and gain are within a percent."""


@dataclass(frozen=True)
class Round:
    """``steps`` with noise of ``deviation`` an entry."""

    steps: int
    deviation: float


@dataclass(frozen=True, eq=False)
class Response:
    """Of the changes (start minus end) of R rounds: ``gain`` and ``covariance`` [R, R], in the units of the weights."""

    gain: Tensor
    covariance: Tensor


def memory(optimiser: Optimiser) -> int:
    """Steps after which what an optimiser makes of noise is as it stays, to a percent."""
    if isinstance(optimiser, Adam):
        return 100
    return ceil(log(1e-3) / log(optimiser.momentum)) if optimiser.momentum else 0


@lru_cache(maxsize=64)
def response(optimiser: Optimiser, rounds: tuple[Round, ...]) -> Response:
    """Of ``rounds`` one after the other, through which the optimiser keeps its state."""
    if isinstance(optimiser, Adam):
        return _simulated(optimiser, rounds)
    ends = list(accumulate(one.steps for one in rounds))
    moved, step = _impulse(optimiser, ends[-1]), torch.arange(ends[-1])
    after = torch.stack([moved[(end - step).clamp_min(0)] for end in (0, *ends)])
    weights = after.diff(dim=0) * torch.repeat_interleave(*_both(rounds))
    return Response(_by_round(weights, rounds), weights @ weights.T)


def _both(rounds: Sequence[Round]) -> tuple[Tensor, Tensor]:
    steps = torch.tensor([one.steps for one in rounds])
    return torch.tensor([one.deviation for one in rounds], dtype=torch.float64), steps


def _by_round(weights: Tensor, rounds: Sequence[Round]) -> Tensor:
    """Columns of steps [R, steps] added up [R, R]."""
    return torch.stack([part.sum(dim=1) for part in weights.split([one.steps for one in rounds], dim=1)], dim=1)


def _impulse(optimiser: Sgd, steps: int) -> Tensor:
    """Where one gradient of 1 has moved a weight [steps + 1] after so many steps, its own the first."""
    weight = torch.zeros(1, dtype=torch.float64)
    state, found = optimiser.fresh(weight), [weight]
    for number in range(1, steps + 1):
        weight, state = optimiser.step(weight, state, torch.full_like(weight, float(number == 1)), number)
        found.append(-weight)
    return torch.cat(found)


def _simulated(optimiser: Adam, rounds: Sequence[Round]) -> Response:
    draw = seeds.generator(0, "response", len(rounds))
    gain = torch.zeros(len(rounds), len(rounds), dtype=torch.float64)
    covariance = torch.zeros_like(gain)
    for _ in range(0, ENTRIES, AT_ONCE):
        state, number = optimiser.fresh(torch.zeros(AT_ONCE)), 0
        moved, heard = torch.zeros(len(rounds), AT_ONCE), torch.zeros(len(rounds), AT_ONCE)
        for place, one in enumerate(rounds):
            weight = torch.zeros(AT_ONCE)
            for _ in range(one.steps):
                number += 1
                noise = torch.randn(AT_ONCE, generator=draw)
                heard[place] += noise
                weight, state = optimiser.step(weight, state, noise * one.deviation, number)
            moved[place] = -weight
        gain += (moved @ heard.T).double() / ENTRIES
        covariance += (moved @ moved.T).double() / ENTRIES
    return Response(gain.tril(), covariance)
