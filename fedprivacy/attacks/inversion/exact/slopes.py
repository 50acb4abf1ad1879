"""Derivatives of records' losses by the output of a first dense layer, and what they tell of labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.gradients import cross_entropy, one_hot


def slopes_by(twin: nn.Module, name: str, inputs: Tensor, targets: Tensor) -> Tensor:
    """Derivative [N, m] of each record's loss by the output of the layer ``name``."""
    caught: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        caught.append(output.detach().requires_grad_())
        return caught[0]

    handle = twin.get_submodule(name).register_forward_hook(keep)
    try:
        loss = cross_entropy(twin(inputs), targets) * len(inputs)
        (slopes,) = torch.autograd.grad(loss, caught[0])
    finally:
        handle.remove()
    return slopes


def told_labels(twin: nn.Module, name: str, inputs: Tensor, slopes: Tensor, classes: int) -> Tensor:
    """Labels [R]: those under which a record's derivative by the layer's output points most as ``slopes`` [R, m] do."""
    alike = []
    for label in range(classes):
        targets = one_hot(torch.full((len(inputs),), label), classes, inputs.dtype)
        alike.append(torch.cosine_similarity(slopes_by(twin, name, inputs, targets), slopes, dim=1))
    return torch.stack(alike).argmax(0)


def off(twin: nn.Module, name: str, inputs: Tensor, slopes: Tensor, classes: int) -> Tensor:
    """How far [R] the ``slopes`` [R, m] are from those of a step on the record alone, as a part of these."""
    labels = told_labels(twin, name, inputs, slopes, classes)
    own = slopes_by(twin, name, inputs, one_hot(labels, classes, inputs.dtype))
    size = torch.linalg.vector_norm(own, dim=1).clamp_min(1e-300)
    apart: Tensor = torch.linalg.vector_norm(slopes - own, dim=1) / size
    return apart
