"""Coins from a client's answers: descent on their log-odds through the unrolled run.

Each step draws a new order of the batches, so what the adversary does not know averages out over steps instead of being
fitted. The step is Adam's with short memories and a rate that falls to a tenth; odds stay within exp(4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import grad

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.adjoint import derivatives
from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.attacks.membership.unrolled.readings import Noise, Reading

MOST = 4.0
"""Largest absolute log-odds."""


@dataclass(frozen=True)
class Descent:
    """``steps`` of Adam on log-odds; above 0, ``start_rate`` is that of Adam on the start, where it is not known."""

    steps: int
    rate: float = 0.3
    beta_1: float = 0.8
    beta_2: float = 0.95
    start_rate: float = 0.0

    def odds(
        self,
        client: Client,
        start: Tensor,
        readings: Mapping[int, Reading],
        noise: Mapping[int, Noise],
        seed: int,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Log-odds [n] that each record of ``client`` was trained on.

        ``scale`` [n]: largest weight of a record, 1 for a candidate; more for one that stands for several.
        """
        number = len(client.x)
        largest = torch.ones(number, device=start.device) if scale is None else scale
        odds, m, v = (torch.zeros(number, device=start.device) for _ in range(3))
        first, second = torch.zeros_like(start), torch.zeros_like(start)
        for step in range(1, self.steps + 1):
            share = torch.sigmoid(odds)
            done = client.forward(start, largest * share, seeds.value(seed, "descent", step))
            by_answers = {t: slope(readings[t], logits, noise[t]) for t, logits in done.answers.items()}
            by_weights, by_start = derivatives(done, client.optimiser, start, by_answers)
            del done
            by_odds = by_weights * largest * share * (1 - share)
            m = self.beta_1 * m + (1 - self.beta_1) * by_odds
            v = self.beta_2 * v + (1 - self.beta_2) * by_odds**2
            rate = self.rate * (1 - 0.9 * (step - 1) / self.steps)
            unbiased = m / (1 - self.beta_1**step), (v / (1 - self.beta_2**step)).sqrt() + 1e-12
            if self.start_rate:
                first = self.beta_1 * first + (1 - self.beta_1) * by_start
                second = self.beta_2 * second + (1 - self.beta_2) * by_start**2
                move = (first / (1 - self.beta_1**step)) / ((second / (1 - self.beta_2**step)).sqrt() + 1e-12)
                start = start - self.start_rate * (rate / self.rate) * move
            odds = (odds - rate * unbiased[0] / unbiased[1]).clamp(-MOST, MOST)
        return odds


def slope(read: Reading, logits: Tensor, noise: Noise) -> Tensor:
    """Derivative of a reading's cost by the logits [N, C]."""
    free = logits.detach().requires_grad_(True)
    return grad(read.cost(free, noise), free)[0]
