"""The client's gradient as a map of its records, for many independent problems at once, and the map's pullback.

A problem is one target and one restart. Problems share the weights and nothing else; the leading axis of every tensor
here is the problem. :func:`gradient_map` takes the hand-written chain where the model is a straight chain of known
layers, and ``torch.func`` for every other model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, replace_all_batch_norm_modules_, vjp

from fedprivacy.attacks.inversion.chain import ChainMap
from fedprivacy.attacks.inversion.chain_reader import read_chain
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.mapped import Mapped
from fedprivacy.training.differentiable import differentiable

RECORDS_AT_ONCE = 64


class GradientMap(Protocol):
    """G(x, t) and its pullback. ``gradients`` comes first; ``pullback`` speaks about its last call. ``values`` are the
    same gradients alone, and keep nothing for a way back."""

    @property
    def at_once(self) -> int:
        """How many records are best computed at a time."""

    def gradients(self, x: Tensor, targets: Tensor) -> Tensor:
        """[P, B, C, H, W] model inputs and [P, B, classes] label distributions -> [P, n], n values of ``Layout``."""

    def values(self, x: Tensor, targets: Tensor) -> Tensor:
        """What ``gradients`` gives; no pullback follows."""

    def pullback(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """d<G, direction>/dx and d<G, direction>/dt for ``direction`` [P, n], held constant."""


@dataclass(frozen=True)
class Layout:
    """Order and shapes of the parameters behind a flat gradient."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @staticmethod
    def of(model: nn.Module) -> Layout:
        return Layout(tuple((name, tuple(p.shape)) for name, p in model.named_parameters()))

    def flat(self, values: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """One flat row [n] of dtype and device of ``like``. A missing name or a wrong shape raises ValueError."""
        parts = []
        for name, shape in self.shapes:
            if name not in values or tuple(values[name].shape) != shape:
                got = f"shape {tuple(values[name].shape)}" if name in values else "nothing"
                raise ValueError(f"the message holds {got} for '{name}', the model needs shape {shape}.")
            parts.append(values[name].detach().to(like).flatten())
        return torch.cat(parts)

    def flat_all(self, messages: Sequence[Mapping[str, Tensor]], like: Tensor) -> Tensor:
        """[T, n], one row a message."""
        return torch.stack([self.flat(message, like) for message in messages])


Bound = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(simulated [A, n], problems [A]) -> distance [A] to what was observed of these, its derivative in ``simulated``."""


def matched(
    problem: GradientMap, x: Tensor, targets: Tensor, problems: Tensor, distance: Bound
) -> tuple[Tensor, Tensor, Tensor]:
    """``distance`` of the gradients of ``problems`` [A], [A], and its derivatives in ``x`` and ``targets``.

    Problems pass in slices of ``at_once`` records, which bounds memory and, on a CPU, keeps the work in cache.
    """
    parts = []
    size = max(1, problem.at_once // x.shape[1])
    for first in range(0, len(x), size):
        part = slice(first, first + size)
        value, direction = distance(problem.gradients(x[part], targets[part]), problems[part])
        parts.append((value, *problem.pullback(direction)))
    if len(parts) == 1:
        return parts[0]
    value, slope, label_slope = (torch.cat(column) for column in zip(*parts, strict=True))
    return value, slope, label_slope


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over records of ``-sum_c t_c log softmax(z)_c``; one logit z means the two logits (0, z)."""
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    return -(torch.log_softmax(logits, 1) * targets).sum(1).mean()


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Labels [...] as distributions [..., classes]."""
    return nn.functional.one_hot(labels, classes).to(dtype)


def frozen_copy(model: nn.Module, state: Mapping[str, Tensor], knowledge: Knowledge, like: Tensor) -> nn.Module:
    """A copy of ``model`` holding ``state`` (parameters, perhaps buffers), in the mode the card names.

    Dropout is off. Batch normalisation uses its stored statistics, or each problem's own batch.
    """
    twin = copy.deepcopy(model).to(like.device, like.dtype).eval()
    twin.load_state_dict({**twin.state_dict(), **{name: value.detach() for name, value in state.items()}})
    if knowledge.batchnorm == "batch":
        replace_all_batch_norm_modules_(twin)
    return twin.requires_grad_(False)


class FunctionalMap:
    """Any module, by ``grad`` of each problem and a reverse pass over it."""

    at_once = RECORDS_AT_ONCE

    def __init__(self, twin: nn.Module) -> None:
        self._twin = twin
        self._parameters: dict[str, Tensor] = dict(twin.named_parameters())
        self._mapped = Mapped(twin, cross_entropy)
        self._pull: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def _one(self, x: Tensor, targets: Tensor) -> Tensor:
        def loss(parameters: dict[str, Tensor]) -> Tensor:
            with differentiable(self._twin):
                return cross_entropy(functional_call(self._twin, parameters, (x,)), targets)

        found: dict[str, Tensor] = grad(loss)(self._parameters)
        return torch.cat([g.flatten() for g in found.values()])

    def gradients(self, x: Tensor, targets: Tensor) -> Tensor:
        """See :class:`GradientMap`."""
        self._pull = None  # what the last call kept goes before this one keeps as much
        found: Tensor
        found, self._pull = vjp(partial(self._mapped.each, self._one), x, targets)  # type: ignore[misc]
        return found.detach()

    def values(self, x: Tensor, targets: Tensor) -> Tensor:
        """See :class:`GradientMap`."""
        return self._mapped.each(self._one, x, targets).detach()

    def pullback(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`GradientMap`."""
        if self._pull is None:
            raise ValueError("pullback speaks about the last call of gradients, and there was none.")
        dx, dt = self._pull(direction)
        return dx.detach(), dt.detach()


def gradient_map(
    model: nn.Module, state: Mapping[str, Tensor], knowledge: Knowledge, like: Tensor
) -> ChainMap | FunctionalMap:
    """The map of one step's gradient, in the dtype and on the device of ``like``."""
    twin = frozen_copy(model, state, knowledge, like)
    chain = read_chain(twin, knowledge.input_shape, like)
    return FunctionalMap(twin) if chain is None else chain
