"""Records in the gradient of a first linear layer: ``dL/dW_i = dL/db_i x`` for a single record.

Phong et al., "Privacy-Preserving Deep Learning via Additively Homomorphic Encryption" (2017); Geiping et al. (2020),
proposition 3.1. Exact for one record. In a batch a row that one record alone activates still shows it, so every row is
a guess; those are kept, with a label each, that lower the squared distance to the observed gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from fedprivacy.attacks.inversion.exact.slopes import slopes_by
from fedprivacy.attacks.inversion.gradients import cross_entropy, frozen_copy, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge, as_gradient
from fedprivacy.config.base import UsageError

SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Guesses:
    """``images`` [m, C, H, W] in pixel scale and their ``labels`` [m]; m may be smaller than the batch."""

    images: Tensor
    labels: Tensor


def first_linear(model: nn.Module, knowledge: Knowledge) -> str | None:
    """Name of the linear layer with bias that reads the whole input, or None where the model starts otherwise."""
    owners = [(name, m) for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))]
    if not owners:
        return None
    name, first = owners[0]
    reads_all = isinstance(first, nn.Linear) and first.in_features == math.prod(knowledge.input_shape)
    return name if reads_all and first.bias is not None else None


def analytic(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Mapping[str, Tensor],
    knowledge: Knowledge,
    labels: Tensor,
    candidates: int = 64,
) -> Guesses:
    """Records behind one message, in float64; ``labels`` [B] in any order say which labels occur.

    At most ``candidates`` different rows, those of the largest ``|dL/db|``, are tried. Raises UsageError where the
    first layer is not linear or the message is an update of several steps.
    """
    name = first_linear(model, knowledge)
    if name is None:
        raise UsageError(
            "inversion: 'analytic' reads a first linear layer with bias, and this model has none; use 'dlg'."
        )
    like = torch.zeros(1, dtype=torch.float64)
    gradient = as_gradient(observed, knowledge)
    slopes = gradient[f"{name}.bias".lstrip(".")].to(like)
    rows = gradient[f"{name}.weight".lstrip(".")].to(like)
    order = slopes.abs().argsort(descending=True, stable=True)
    order = order[slopes[order].abs() > 1e-12 * slopes.abs().max()]
    guesses = rows[order] / slopes[order, None]
    if knowledge.records == 1:
        guesses = guesses[:1]
    inputs = different(guesses, candidates).view(-1, *knowledge.input_shape)
    if knowledge.records == 1:
        return Guesses(knowledge.to_pixels(inputs), labels[: len(inputs)].clone())
    twin = frozen_copy(model, parameters, knowledge, like)
    chosen, known = _kept(Single(twin, name, inputs), labels, gradient, knowledge)
    return Guesses(knowledge.to_pixels(inputs[chosen]), known)


def different(rows: Tensor, most: int) -> Tensor:
    """The first ``most`` of ``rows`` [n, d] that differ from all before them by more than rounding."""
    kept = rows[:0]
    for row in rows:
        size = torch.linalg.vector_norm(row)
        if len(kept) < most and bool((torch.linalg.vector_norm(kept - row, dim=1) > SAME * (1 + size)).all()):
            kept = torch.cat([kept, row[None]])
    return kept


class Single:
    """Gradients of single ``inputs`` [N, ...] under ``twin``, whose first layer is ``name``: products with them and
    their sizes for every label, without the gradients themselves, of which each is as large as the model."""

    def __init__(self, twin: nn.Module, name: str, inputs: Tensor) -> None:
        self._twin, self._name, self.inputs = twin, name, inputs
        self._parameters: dict[str, Tensor] = dict(twin.named_parameters())

    def losses(self, parameters: dict[str, Tensor]) -> Tensor:
        """Cross-entropy [N, classes] of each input with each label."""
        logits = functional_call(self._twin, parameters, (self.inputs,))
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return -torch.log_softmax(logits, 1)

    def products(self, direction: Mapping[str, Tensor]) -> Tensor:
        """[N, classes]: of each gradient with ``direction``, as the derivative by ``u`` of ``direction`` times the
        gradient of all losses weighed by u, which is linear in u."""
        names, values = zip(*self._parameters.items(), strict=True)
        values = tuple(value.detach().requires_grad_() for value in values)
        losses = self.losses(dict(zip(names, values, strict=True)))
        u = torch.ones_like(losses).requires_grad_()
        weighed = torch.autograd.grad(losses, values, u, create_graph=True)
        along = sum((slope * direction[name].to(slope)).sum() for name, slope in zip(names, weighed, strict=True))
        assert isinstance(along, Tensor)
        (found,) = torch.autograd.grad(along, u)
        return found

    def gradient(self, place: int, label: int) -> dict[str, Tensor]:
        """One of them."""

        def loss(parameters: dict[str, Tensor]) -> Tensor:
            return self.losses(parameters)[place, label]

        found: dict[str, Tensor] = grad(loss)(self._parameters)
        return found

    def squares(self, classes: int) -> Tensor:
        """[N, classes]: squared norms; of the first layer's part by its factors (Goodfellow 2015)."""
        first = {f"{self._name}.{part}".lstrip(".") for part in ("weight", "bias")}
        rest = {name: value for name, value in self._parameters.items() if name not in first}
        held = {name: value for name, value in self._parameters.items() if name in first}

        def loss(parameters: dict[str, Tensor], x: Tensor, target: Tensor) -> Tensor:
            return cross_entropy(functional_call(self._twin, {**held, **parameters}, (x[None],)), target[None])

        size, found = 1 + self.inputs.flatten(1).square().sum(1), []
        for label in range(classes):
            targets = one_hot(torch.full((len(self.inputs),), label), classes, self.inputs.dtype)
            whole = slopes_by(self._twin, self._name, self.inputs, targets).square().sum(1) * size
            if rest:
                others = vmap(grad(loss), (None, 0, 0))(rest, self.inputs, targets)
                whole = whole + sum(value.flatten(1).square().sum(1) for value in others.values())
            found.append(whole)
        return torch.stack(found, 1)


def _kept(single: Single, labels: Tensor, wanted: Mapping[str, Tensor], knowledge: Knowledge) -> tuple[Tensor, Tensor]:
    """Greedy choice of (input, label) pairs while the distance falls: an input once, a label as often as it occurs."""
    left = torch.bincount(labels, minlength=knowledge.classes)
    fresh = torch.ones(len(single.inputs), dtype=torch.bool)
    products = single.products(wanted) / knowledge.records
    squares = single.squares(knowledge.classes) / knowledge.records**2
    chosen, known = list[int](), list[int]()
    for _ in range(knowledge.records):
        gains = 2 * products - squares
        gains = torch.where(fresh[:, None] & (left > 0) & gains.isfinite(), gains, -torch.inf)
        place, label = divmod(int(gains.argmax()), knowledge.classes)
        if not bool(gains[place, label] > 0):
            break
        products = products - single.products(single.gradient(place, label)) / knowledge.records**2
        chosen.append(place)
        known.append(label)
        fresh[place] = False
        left[label] -= 1
    return torch.tensor(chosen, dtype=torch.long), torch.tensor(known, dtype=torch.long)
