"""Differentially private training of a client (Abadi et al. 2016, arXiv 1607.00133) under relaxed coins.

A candidate of weight c takes part in a batch with c times its clipped gradient. What its gradient is multiplied by to
hold the clip bound is taken as it is where it is computed: its own derivative is left out. The draw of the batches and
the noise are drawn anew in each pass, as the order of plain batches is. Adam divides by moments that are mostly noise,
so a pass without noise would take other steps than the client did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import Learner, Loss, Records, Seed


@dataclass(frozen=True)
class PrivateTraining:
    """Its settings ``fit``, and the public number of records ``nominal`` of each fold."""

    fit: DpSgd
    nominal: Sequence[int]

    def fitted(self, learner: Learner, round: int, members: Records, epochs: int, seed: Seed, loss: Loss) -> None:
        """The client's own training with real coins."""
        self.fit(learner, members, epochs, seed, loss, self._nominal(round))

    def steps(self, round: int) -> int:
        """Steps of one epoch."""
        return self.fit.steps(self._nominal(round))

    def expected(self, round: int) -> float:
        """What sums of gradients are divided by."""
        return self.fit.divisor(self._nominal(round))

    def epoch(self, round: int, fold: Tensor, draw: torch.Generator) -> list[Tensor]:
        """Rows of ``fold`` in each batch of one epoch; some may be empty."""
        steps = self.steps(round)
        if self.fit.sampling == "partition":
            dealt = torch.randint(steps, (len(fold),), generator=draw)
            return [fold[dealt == step] for step in range(steps)]
        rate = self.fit.rate(self._nominal(round))
        return [fold[torch.rand(len(fold), generator=draw) < rate] for _ in range(steps)]

    def noise(self, round: int, like: Tensor, draw: torch.Generator) -> Tensor:
        """What one step adds to its gradient."""
        deviation = self.fit.noise_multiplier * self.fit.max_grad_norm / self.expected(round)
        return (torch.randn(like.shape, generator=draw) * deviation).to(like)

    def _nominal(self, round: int) -> int:
        return self.nominal[min(round, len(self.nominal)) - 1]
