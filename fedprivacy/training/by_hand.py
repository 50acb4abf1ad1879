"""Gradients of multilayer perceptrons written out, without a graph: the same products as autograd's, bit for bit.

A model says that it is one by the attribute ``relu_chain``: the names of its ``nn.Linear`` layers, applied in turn to
the flattened record with a ReLU between two of them. On small networks the graph costs more than the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from fedprivacy.training.sparse import Sparse

_OPS = torch.ops.aten


@dataclass(frozen=True)
class Chain:
    """``layers`` in turn, a ReLU between two of them."""

    layers: tuple[nn.Linear, ...]

    def forward(self, x: Tensor) -> list[Tensor]:
        """What each layer reads, and the logits [B, C] last; ``x`` [B, ...]."""
        seen = [x.flatten(1)]
        for layer in self.layers:
            read = seen[-1].relu_() if len(seen) > 1 else seen[0]
            seen.append(torch.addmm(layer.bias, read, layer.weight.t()))
        return seen

    def gradients(self, slope: Tensor, seen: Sequence[Tensor]) -> list[Tensor]:
        """Weight's and bias's of each layer; ``slope`` [B, C] is the derivative by the logits of :meth:`forward`."""
        found: list[Tensor] = []
        for layer, read in zip(reversed(self.layers), reversed(seen[:-1]), strict=True):
            found += [slope.sum(0), slope.t().mm(read)]
            if layer is not self.layers[0]:
                slope = _OPS.threshold_backward(slope.mm(layer.weight), read, 0)
        return found[::-1]


def chain(module: nn.Module) -> Chain | None:
    """The module as a :class:`Chain`, or None where it is none, is watched by hooks, or trains in part alone."""
    names = getattr(module, "relu_chain", None)
    if names is None or not _as_declared(type(module)):
        return None
    children = dict(module.named_children())
    layers = [children.get(name) for name in names]
    if set(children) != set(names) or any(type(layer) is not nn.Linear for layer in layers):
        return None
    linear = tuple(layer for layer in layers if isinstance(layer, nn.Linear) and layer.bias is not None)
    if len(linear) != len(layers) or any(_hooked(part) for part in module.modules()):
        return None
    own = [tensor for layer in linear for tensor in (layer.weight, layer.bias)]
    parameters = list(module.parameters())
    same = len(own) == len(parameters) and all(a is b for a, b in zip(own, parameters, strict=True))
    sizes = all(a.out_features == b.in_features for a, b in pairwise(linear))
    return Chain(linear) if same and sizes and all(p.requires_grad for p in parameters) else None


def cross_entropy_slope(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of logits [B, C], C > 1, against class ids [B], in nats, and its derivative [B, C]."""
    log_p = torch.log_softmax(logits, 1)
    value, weight = _OPS.nll_loss_forward(log_p, labels, None, 1, -100)
    slope = _OPS.nll_loss_backward(torch.ones_like(value), log_p, labels, None, 1, -100, weight)
    return value, _OPS._log_softmax_backward_data(slope, log_p, 1, log_p.dtype)


def _as_declared(kind: type[nn.Module]) -> bool:
    """Whether no class below the one that declares the chain computes otherwise."""
    for one in kind.__mro__:
        if "relu_chain" in vars(one):
            return True
        if {"forward", "features", "__call__"} & vars(one).keys():
            return False
    return False


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def stacked_forward(weights: Sequence[Tensor], x: Tensor | Sparse) -> list[Tensor]:
    """:meth:`Chain.forward` of M models at once; ``weights``: each layer's weight [M, out, in] and bias [M, out], in
    turn; ``x`` [M, B, ...], or the records of one batch for all, whose first weight then lies input by input.
    """
    pairs = _pairs(weights)
    if isinstance(x, Sparse):
        (weight, bias), pairs = pairs[0], pairs[1:]
        read = torch.stack([x.rows.times(one.t()) for one in weight]).add_(bias[:, None])
        seen = [weight.new_empty(0), read]
    else:
        seen = [x.flatten(2)]
    for weight, bias in pairs:
        read = seen[-1].relu_() if len(seen) > 1 else seen[0]
        seen.append(torch.baddbmm(bias[:, None], read, weight.transpose(1, 2)))
    return seen


def stacked_gradients(
    weights: Sequence[Tensor], slope: Tensor, seen: Sequence[Tensor], x: Tensor | Sparse | None = None
) -> list[Tensor]:
    """:meth:`Chain.gradients` of M models at once; ``slope`` [M, B, C]. Of sparse records the gradient of the first
    weight comes as M tensors [in, out].
    """
    found: list[Tensor] = []
    for place, (weight, _) in reversed(list(enumerate(_pairs(weights)))):
        read = seen[place]
        found.append(slope.sum(1))
        if place:
            found.append(slope.transpose(1, 2).bmm(read))
            slope = _OPS.threshold_backward(slope.bmm(weight), read, 0)
        elif isinstance(x, Sparse):
            found += [x.columns.times(one) for one in reversed(slope.unbind())]
        else:
            found.append(slope.transpose(1, 2).bmm(read))
    return found[::-1]


def _pairs(weights: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(weights[::2], weights[1::2], strict=True))
