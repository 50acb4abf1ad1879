"""Early stopping: training ends where a client's own validation loss has stopped falling, and goes back to its best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from fedprivacy.training.losses import cross_entropy

if TYPE_CHECKING:
    from fedprivacy.training.learner import Learner, Records


class Watch(Protocol):
    """What may end a training after any of its passes."""

    def enough(self, learner: Learner) -> bool:
        """Look at ``learner`` after a pass; True where it should be the last."""

    def restore(self, learner: Learner) -> None:
        """What is done to ``learner`` once the last pass is over."""


@dataclass
class Stopping:
    """Watches passes: ``patience`` of them without a lower cross-entropy on ``held_out`` are the last."""

    held_out: Records
    patience: int
    kept: int = 0
    """The best pass so far, counted from 1."""
    _best: float = float("inf")
    _waited: int = 0
    _best_state: tuple[dict[str, Tensor], dict[str, Tensor]] | None = field(default=None, repr=False)

    def enough(self, learner: Learner) -> bool:
        """Look at ``learner`` after a pass; True where it should be the last."""
        loss = float(cross_entropy(learner.logits(self.held_out.x), torch.from_numpy(self.held_out.y)))
        learner.module.train()
        if loss < self._best:
            self.kept += self._waited + 1
            self._best, self._waited = loss, 0
            self._best_state = learner.weights(), learner.moments()
            return False
        self._waited += 1
        return self._waited >= self.patience

    def restore(self, learner: Learner) -> None:
        """Weights and moments of the best pass."""
        if self._best_state is not None:
            learner.become(*self._best_state)
