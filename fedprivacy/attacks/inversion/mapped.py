"""A function of every problem at once, where that is known to be right, else of one after the other.

``torch.func`` knows no recurrent layers. And in torch 2.13 the way back through ``vmap(grad(...))`` leaves out how the
statistics of layer, instance and batch normalisation depend on their input, without a word, so whether it is right is
found by trying.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from fedprivacy.training.differentiable import differentiable

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits [B, classes], label distributions [B, classes]) -> scalar."""

TOLERANCE = 1e-3
"""Largest difference that passes, of the largest entry; rounding in float32 makes some 1e-5."""


class Mapped:
    """Whether second derivatives of ``model`` under ``loss`` are right under ``vmap``: found once, on the first records
    that are asked for."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        self._model, self._loss = model, loss
        self._right: bool | None = None

    @property
    def found(self) -> bool:
        """Whether they were found right; False before any record was asked for."""
        return bool(self._right)

    def right(self, x: Tensor, targets: Tensor) -> bool:
        """For records ``x`` [B, ...] of one problem, with ``targets`` [B, classes]."""
        if self._right is None:
            with torch.no_grad():
                self._right = self._tried(x.detach(), targets.detach())
        return self._right

    def each(self, function: Callable[[Tensor, Tensor], Tensor], x: Tensor, targets: Tensor) -> Tensor:
        """``function``, which differentiates the model, of every problem [P, B, ...]."""
        if self.right(x[0], targets[0]):
            found: Tensor = vmap(function)(x, targets)
            return found
        return torch.stack([function(*one) for one in zip(x, targets, strict=True)])

    def _tried(self, x: Tensor, targets: Tensor) -> bool:
        parameters: dict[str, Tensor] = dict(self._model.named_parameters())

        def slope(x: Tensor, targets: Tensor) -> Tensor:
            def loss(parameters: dict[str, Tensor]) -> Tensor:
                with differentiable(self._model):
                    return self._loss(functional_call(self._model, parameters, (x,)), targets)

            found: dict[str, Tensor] = grad(loss)(parameters)
            return torch.cat([g.flatten() for g in found.values()])

        plain, back = vjp(lambda x: slope(x, targets), x)  # type: ignore[misc]
        try:
            mapped, back_mapped = vjp(lambda x: vmap(slope)(x[None], targets[None])[0], x)  # type: ignore[misc]
            (one,), (other,) = back(plain), back_mapped(plain)
        except RuntimeError:
            return False
        return _same(plain, mapped) and _same(one, other)


def _same(one: Tensor, other: Tensor) -> bool:
    if not bool(torch.isfinite(one).all()):
        return True  # says nothing of vmap
    return float((one - other).abs().max()) <= TOLERANCE * float(one.abs().max())
