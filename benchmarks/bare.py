"""The kernels of a round of FedAvg and nothing else: what torch's own convolutions, products and pooling allow.

The same batches as `protocols.py`, forward and backward written out, one fused step; no autograd, no messages.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from federations import FiveByFive
from torch import Tensor
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.models.convolution import channels_last

BATCH = 32
OPS = torch.ops.aten
POOL = ([2, 2], [2, 2], [0, 0], [1, 1], False)


class Bare:
    """The network's weights, trained by hand."""

    def __init__(self) -> None:
        with seeds.torch_scope(0, "benchmark", "bare"):
            self.weights = [parameter.detach() for parameter in FiveByFive().parameters()]

    def step(self, x: Tensor, y: Tensor) -> None:
        """One step of SGD on ``x`` [B, 1, 28, 28] and ``y`` [B]."""
        w1, b1, w2, b2, w3, b3, w4, b4 = self.weights
        first, (pooled, at) = _pooled(x, w1, b1)
        second, (deep, deep_at) = _pooled(pooled, w2, b2)
        read = deep.flatten(1)
        hidden = torch.addmm(b3, read, w3.t()).relu_()
        slope = torch.softmax(torch.addmm(b4, hidden, w4.t()), 1)
        slope[torch.arange(len(y)), y] -= 1
        slope /= len(y)
        last = [slope.t() @ hidden, slope.sum(0)]
        slope = OPS.threshold_backward(slope @ w4, hidden, 0)
        dense = [slope.t() @ read, slope.sum(0)]
        slope = OPS.threshold_backward(slope @ w3, read, 0).view_as(deep)
        slope = OPS.max_pool2d_with_indices_backward(channels_last(slope), second, *POOL, deep_at)
        slope, *inner = _convolution_backward(slope, pooled, w2, True)
        slope = OPS.threshold_backward(slope, pooled, 0)
        slope = OPS.max_pool2d_with_indices_backward(slope, first, *POOL, at)
        _, *outer = _convolution_backward(slope, x, w1, False)
        gradients = [gradient.contiguous() for gradient in (*outer, *inner, *dense, *last)]
        plain = {"weight_decay": 0.0, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "maximize": False}
        torch._fused_sgd_(self.weights, gradients, [], lr=0.05, is_first_step=False, **plain)


def _pooled(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    whole = F.conv2d(x, weight, bias)
    values, places = OPS.max_pool2d_with_indices(whole, *POOL)
    return whole, (values.relu_(), places)


def _convolution_backward(slope: Tensor, x: Tensor, weight: Tensor, onward: bool) -> list[Tensor]:
    where = ([len(weight)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    return list(OPS.convolution_backward(slope, x, weight, *where, [onward, True, True]))


def round_of(records: int, clients: int) -> Callable[[], None]:
    """What does as many batches as a round in which each client has so many records."""
    draw = seeds.generator(0, "benchmark", "bare", "records")
    x, y = torch.rand(records, 1, 28, 28, generator=draw), torch.randint(10, (records,), generator=draw)
    bare = Bare()

    def round() -> None:
        for _ in range(clients):
            for part, labels in zip(x.split(BATCH), y.split(BATCH), strict=True):
                bare.step(channels_last(part), labels)

    return round
