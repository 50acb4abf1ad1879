"""Watches local training from outside: the weights along the way, and how far Adam stretches each entry's step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fedprivacy.training.learner import Learner, Workbench
from fedprivacy.training.optimiser import BETAS

STRIDE = 4
"""Steps between two looks at Adam's second moments."""


class Path:
    """What one or several pieces of local training pass through.

    ``points``: weights and buffers just before an optimiser step, evenly spread over the steps of each piece.
    ``stretch``: mean over steps of ``sqrt(v_hat) + eps`` by parameter, by which Adam divides a step, eps as it counts
    beside ``v_hat``; empty under an optimiser without second moments.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.points: list[dict[str, Tensor]] = []
        self._kept: list[dict[str, Tensor]] = []
        self._every, self._steps = 1, 0
        self._sums: dict[str, Tensor] = {}
        self._looks = 0

    def close(self) -> None:
        """End a piece of training and keep ``number`` of its points."""
        kept, wanted = self._kept, min(self.number, len(self._kept))
        self.points += [kept[(2 * i + 1) * len(kept) // (2 * wanted)] for i in range(wanted)]
        self._kept, self._every, self._steps = [], 1, 0

    @property
    def stretch(self) -> dict[str, Tensor]:
        return {name: (total / self._looks).cpu() for name, total in self._sums.items()}

    def before(self, learner: Learner) -> None:
        """Look at the weights before a step; of long training fewer and fewer are kept."""
        if self._steps % self._every == 0:
            self._kept.append({name: t.detach().clone() for name, t in learner.module.state_dict().items()})
            if len(self._kept) > 4 * self.number:
                self._kept, self._every = self._kept[::2], 2 * self._every
        self._steps += 1

    def after(self, learner: Learner) -> None:
        """Look at the second moments after a step."""
        if (self._steps - 1) % STRIDE:
            return
        optimizer = learner.optimizer
        if "exp_avg_sq" not in optimizer.slots:
            return
        self._looks += 1
        for (name, _), state in zip(learner.module.named_parameters(), optimizer.state, strict=True):
            if "exp_avg_sq" not in state:
                continue
            unbiased = state["exp_avg_sq"] / (1 - BETAS[1] ** float(state["step"]))
            look = unbiased.sqrt() + optimizer.eps
            self._sums[name] = self._sums[name] + look if name in self._sums else look


class Watching(Workbench):
    """A workbench like another one that shows the training of the models of one ``slot`` to a :class:`Path`."""

    def __init__(self, like: Workbench, slot: str, path: Path) -> None:
        super().__init__(like.build, like.config, str(like.device))
        self._slot, self._path = slot, path

    def learner(
        self,
        model: str,
        weights: Mapping[str, Tensor],
        optimizer: Mapping[str, Tensor] | None = None,
        slot: str = "",
    ) -> Learner:
        learner = super().learner(model, weights, optimizer, slot)
        if slot == self._slot:
            learner.optimizer.before.append(lambda: self._path.before(learner))
            learner.optimizer.after.append(lambda: self._path.after(learner))
        return learner
