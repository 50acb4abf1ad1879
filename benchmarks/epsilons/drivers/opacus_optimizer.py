"""Opacus' DP optimizer on one step over one record, or none, and what its accountants say of it."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from case import Case
from opacus.accountants import PRVAccountant
from opacus.optimizers import DPOptimizer

warnings.simplefilter("ignore")
DELTA = 1e-5


def stepped(multiplier: float):
    """The noised mean gradient [1] of a batch of one record with a gradient of that size."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = DPOptimizer(
        torch.optim.SGD([weight], lr=1.0), noise_multiplier=multiplier, max_grad_norm=1.0, expected_batch_size=1
    )

    def step(gradient: np.ndarray) -> np.ndarray:
        weight.grad_sample = torch.as_tensor(gradient, dtype=torch.float32)[None]
        optimizer.pre_step()
        found = weight.grad.detach().clone().numpy()
        optimizer.zero_grad()
        return found

    return step


def case(multiplier: float) -> Case:
    book = PRVAccountant()
    book.history = [(multiplier, 1.0, 1)]
    return Case(
        f"DPOptimizer, noise_multiplier {multiplier:g}",
        stepped(multiplier),
        np.zeros(1),
        np.full(1, 5.0),
        float(book.get_epsilon(DELTA)),
        DELTA,
        "epsilon of its PRV accountant, one step at rate 1",
        "record, add-remove",
        20_000,
        1 / multiplier,
        honest=True,
    )


CASES = [case(1.0), case(3.0)]
