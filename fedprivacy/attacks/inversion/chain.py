"""Gradients of many problems and their pullback, run over the layers of :mod:`chain_layers`."""

from __future__ import annotations

import torch
from torch import Tensor

from fedprivacy.attacks.inversion.chain_layers import Step


class ChainMap:
    """Gradients of all problems, and their pullback, by :mod:`chain_layers`."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self._first = next(i for i, step in enumerate(steps) if step.sizes)
        self.at_once = 1

    def logits(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, classes]."""
        for step in self.steps:
            x = step.forward(x)
        return x

    @torch.no_grad()
    def gradients(self, x: Tensor, targets: Tensor) -> Tensor:
        """See :class:`fedprivacy.attacks.inversion.gradients.GradientMap`."""
        self._problems, self._records = x.shape[:2]
        self._p = torch.softmax(self.logits(x.flatten(0, 1)), 1)
        delta = (self._p - targets.flatten(0, 1)) / self._records
        self._deltas = [delta]
        found: list[Tensor] = []
        for i in range(len(self.steps) - 1, self._first - 1, -1):
            found[:0] = self.steps[i].parameter_gradients(delta, self._problems)
            if i > self._first:
                delta = self.steps[i].backward(delta)
            self._deltas.append(delta)
        return torch.cat(found, 1)

    def values(self, x: Tensor, targets: Tensor) -> Tensor:
        """See :class:`fedprivacy.attacks.inversion.gradients.GradientMap`."""
        return self.gradients(x, targets)

    @torch.no_grad()
    def pullback(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`fedprivacy.attacks.inversion.gradients.GradientMap`."""
        pieces = iter(direction.split([size for step in self.steps for size in step.sizes], 1))
        directions = [[next(pieces) for _ in step.sizes] for step in self.steps]
        h_dot: Tensor | None = None
        for step, v in zip(self.steps, directions, strict=True):
            h_dot = step.tangent(h_dot, v, self._records)
        if h_dot is None:
            raise ValueError("the chain has no parameters.")
        centred = h_dot - (self._p * h_dot).sum(1, keepdim=True)
        slope, shape = self._p * centred / self._records, (self._problems, self._records)
        for i in range(len(self.steps) - 1, self._first - 1, -1):
            delta = self._deltas[len(self.steps) - 1 - i]
            slope = self.steps[i].tangent_backward(delta, slope, directions[i], self._records)
        for i in range(self._first - 1, -1, -1):
            slope = self.steps[i].backward(slope)
        return slope.unflatten(0, shape), (-centred / self._records).unflatten(0, shape)
