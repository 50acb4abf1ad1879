"""The multilayer perceptron by hand: the same numbers as automatic differentiation in less than half the time.

With Z = X W1' + b1, H = relu(Z), O = H W2' + b2, and D the derivative of the loss by O, the gradient is
``(F'X, F'1, D'H, D'1)`` with ``F = (D W2) * [Z > 0]``. Its product with a vector (A1, a1, A2, a2) runs back over these
lines; the second derivative of the loss, a matter of [B, C], is the batch's (:class:`.batch.Slope`).

Inputs that are zero in every record that is ever shown, such as the border of a digit, never move a weight and are
left out of the vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedprivacy.attacks.membership.unrolled.batch import Batch, Slope
from fedprivacy.attacks.membership.unrolled.parameters import Flat, Linearised, Model
from fedprivacy.models.mlp import Mlp

_OPS = torch.ops.aten
NAMES = ("hidden.weight", "hidden.bias", "head.weight", "head.bias")


def model_of(module: nn.Module, shown: Sequence[Tensor]) -> Model:
    """The fastest view of a module; ``shown``: all records, as stored, that it will ever be shown."""
    if not isinstance(module, Mlp):
        return Flat.of(module)
    used = torch.stack([(x.flatten(1) != 0).any(dim=0) for x in shown]).any(dim=0)
    return TwoLayers(module, torch.nonzero(used)[:, 0], module.feature_size, module.head.out_features)


@dataclass(frozen=True, eq=False)
class TwoLayers:
    """A :class:`Model` of an MLP on the inputs ``used`` [d]: ``hidden`` units, ``outputs`` logits."""

    lean: ClassVar[bool] = True
    module: nn.Module
    used: Tensor
    hidden: int
    outputs: int

    def taken(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, self.used].contiguous()

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        first = tensors[NAMES[0]].detach()[:, self.used].reshape(-1)
        return torch.cat([first, *(tensors[name].detach().reshape(-1) for name in NAMES[1:])])

    def replaced(self, vector: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        new, kept = vector.clone(), torch.ones_like(vector)
        for name, part, mask in zip(NAMES, self._parts(new), self._parts(kept), strict=True):
            if name in tensors:
                given = tensors[name].detach()
                part.copy_(given[:, self.used] if name == NAMES[0] else given)
                mask.zero_()
        return new, kept

    def logits(self, vector: Tensor, x: Tensor) -> Tensor:
        w1, b1, w2, b2 = self._parts(vector)
        return torch.addmm(b2, torch.relu(torch.addmm(b1, x, w1.T)), w2.T)

    def operations(self, x: Tensor) -> float:
        return 2.0 * len(x) * self.hidden * (len(self.used) + self.outputs)

    def gradient(self, vector: Tensor, batch: Batch, keep: bool) -> tuple[Tensor, Linearised]:
        w1, b1, w2, b2 = self._parts(vector.detach())
        h = torch.addmm(b1, batch.x, w1.T).relu_()
        slope = batch.slope(torch.addmm(b2, h, w2.T), keep)
        f = _OPS.threshold_backward(slope.d @ w2, h, 0)
        g = torch.empty_like(vector)
        g1, gb1, g2, gb2 = self._parts(g)
        torch.mm(f.T, batch.x, out=g1)
        torch.sum(f, 0, out=gb1)
        torch.mm(slope.d.T, h, out=g2)
        torch.sum(slope.d, 0, out=gb2)
        return g, ByHand(self, w2.clone(), batch.x, h, slope)

    def norms(self, vector: Tensor, batch: Batch) -> Tensor:
        w1, b1, w2, b2 = self._parts(vector.detach())
        h = torch.addmm(b1, batch.x, w1.T).relu_()
        d = batch.each(torch.addmm(b2, h, w2.T))
        f = _OPS.threshold_backward(d @ w2, h, 0)
        by_f, by_x, by_d, by_h = (part.square().sum(1) for part in (f, batch.x, d, h))
        norms: Tensor = (by_f * (by_x + 1) + by_d * (by_h + 1)).sqrt()
        return norms

    def _parts(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide, high = len(self.used), self.hidden
        w1, b1, w2, b2 = vector.split([wide * high, high, high * self.outputs, self.outputs])
        return w1.view(high, wide), b1, w2.view(self.outputs, high), b2


@dataclass(frozen=True, eq=False)
class ByHand:
    """The values that the derivative of a gradient of :class:`TwoLayers` needs; of the weights, ``w2`` alone."""

    model: TwoLayers
    w2: Tensor
    x: Tensor
    h: Tensor
    slope: Slope
    remembered: ClassVar[None] = None

    def product(self, vector: Tensor) -> tuple[Tensor, Tensor | None]:
        v1, vb1, v2, vb2 = self.model._parts(vector)
        found = torch.empty_like(vector)
        t1, tb1, t2, tb2 = self.model._parts(found)
        by_e = _OPS.threshold_backward(torch.addmm(vb1, self.x, v1.T), self.h, 0)
        by_d = torch.addmm(vb2, self.h, v2.T).addmm_(by_e, self.w2.T)
        by_logits, by_coins = self.slope.product(by_d)
        by_h = self.slope.d @ v2
        torch.mm(self.slope.d.T, by_e, out=t2)
        tb2.zero_()
        if by_logits is not None:
            by_h.addmm_(by_logits, self.w2)
            t2.addmm_(by_logits.T, self.h)
            torch.sum(by_logits, 0, out=tb2)
        by_z = _OPS.threshold_backward(by_h, self.h, 0)
        torch.mm(by_z.T, self.x, out=t1)
        torch.sum(by_z, 0, out=tb1)
        return found, by_coins
