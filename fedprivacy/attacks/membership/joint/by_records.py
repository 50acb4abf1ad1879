"""Per-record gradients of single parameters by automatic differentiation of each record's loss: right for any model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Set

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fedprivacy.attacks.membership.joint.by_layers import Losses
from fedprivacy.attacks.membership.joint.layers import Layer, Rows


def record_by_record(module: nn.Module, x: Tensor, y: Tensor, losses: Losses, names: Set[str]) -> list[Layer]:
    """Gradients of the parameters ``names``, in the module's order, of records ``x`` [n, ...] with labels ``y`` [n].

    All records at once where ``torch.func`` can, which knows no recurrent layers and no function without a rule; else a
    forward and a backward pass a record.
    """
    chosen = {name: p for name, p in module.named_parameters() if name in names}
    if not chosen:
        return []
    try:
        found = _at_once(module, x, y, losses, chosen)
    except RuntimeError:
        found = _in_turn(module, x, y, losses, chosen)
    return [Rows(values.flatten(1), name) for name, values in found.items()]


def _at_once(
    module: nn.Module, x: Tensor, y: Tensor, losses: Losses, chosen: Mapping[str, nn.Parameter]
) -> Mapping[str, Tensor]:
    fixed = {name: t.detach() for name, t in (*module.named_parameters(), *module.named_buffers())}

    def loss(some: Mapping[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(module, {**fixed, **some}, (one[None],))
        return losses(logits, label[None])[0]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        free = {name: p.detach() for name, p in chosen.items()}
        found: dict[str, Tensor] = vmap(grad(loss), in_dims=(None, 0, 0))(free, x, y)
    return found


def _in_turn(
    module: nn.Module, x: Tensor, y: Tensor, losses: Losses, chosen: Mapping[str, nn.Parameter]
) -> Mapping[str, Tensor]:
    found = {name: p.new_empty(len(x), *p.shape, requires_grad=False) for name, p in chosen.items()}
    for i in range(len(x)):
        each = losses(module(x[i : i + 1]), y[i : i + 1]).sum()
        own = torch.autograd.grad(each, list(chosen.values()), allow_unused=True, materialize_grads=True)
        for rows, values in zip(found.values(), own, strict=True):
            rows[i] = values
    return found
