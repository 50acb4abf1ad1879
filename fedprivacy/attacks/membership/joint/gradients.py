"""Per-record gradients of any model, averaged over points of a path; inner products without the whole.

A dense layer's gradient is the outer product of the gradient of its output and its input, so a Gram matrix over n
records is ``(A A' + 1) o (D D')`` and never needs the n gradients themselves. Everything else is kept as one row a
record: told by its layer where that can be (:mod:`.by_layers`), else record by record (:mod:`.by_records`). Over
several points of a path the two factors of an outer product are averaged apart: exact where either stays the same, as
the input of a first layer does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fedprivacy.attacks.membership.joint.by_layers import Losses, by_layers, fits, untold
from fedprivacy.attacks.membership.joint.by_records import record_by_record
from fedprivacy.attacks.membership.joint.layers import Layer, below, records_of
from fedprivacy.training.differentiable import differentiable

ROWS = 256
"""Records of one forward and backward pass."""
BLOCK = 2048
"""Rows of a Gram matrix that are made at once."""
MANY = 3000
"""Records up to which a Gram matrix is kept in float64."""

_ALONE: WeakKeyDictionary[nn.Module, frozenset[str]] = WeakKeyDictionary()
"""Parameters of a module that its layers do not tell; one look in a process is enough."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """Per-record gradients [n, parameters] of one model, layer by layer; they can be added."""

    layers: tuple[Layer, ...]
    left_out: tuple[str, ...] = ()
    """Parameters without gradients here, because they would take too much room."""

    def gram(self, other: Gradients | None = None) -> Tensor:
        """Inner products [n, n] with all of ``other`` of the same parameters, None: with these: float64, or float32
        where there are more than :data:`MANY` records."""
        number = len(self)
        found = torch.zeros(number, number, dtype=torch.float64 if number <= MANY else torch.float32)
        for layer, against in zip(self.layers, (other or self).layers, strict=True):
            for first in range(0, number, BLOCK):
                some = slice(first, first + BLOCK)
                found[some] += layer.some(some).gram(against).to(found)  # type: ignore[arg-type]
        return found

    def __len__(self) -> int:
        return records_of(self.layers[0])

    def inner(self, change: Mapping[str, Tensor]) -> Tensor:
        """Inner products [n] with one change of weights."""
        return torch.stack([layer.inner(change) for layer in self.layers]).sum(dim=0).cpu()

    def combined(self, by: Tensor) -> dict[str, Tensor]:
        """The sum of all gradients, each times its entry of ``by`` [n], by parameter."""
        return {name: total for layer in self.layers for name, total in layer.combined(by).items()}

    def only(self, names: frozenset[str]) -> Gradients:
        """The gradients of some parameters alone."""
        kept = [part for layer in self.layers if (part := layer.only(names)) is not None]
        return Gradients(tuple(kept), tuple(name for name in self.left_out if name in names))

    def scaled(self, by: Mapping[str, Tensor]) -> Gradients:
        """Each gradient times ``by``; that of a large dense layer in the form of :func:`split`."""
        return Gradients(tuple(part for layer in self.layers for part in layer.scaled(by)), self.left_out)

    def plus(self, other: Gradients) -> Gradients:
        """The sum, factor by factor."""
        pairs = zip(self.layers, other.layers, strict=True)
        return Gradients(tuple(one.plus(two) for one, two in pairs), self.left_out)  # type: ignore[arg-type]

    def over(self, number: int) -> Gradients:
        """Divided by ``number``, on the CPU."""
        return Gradients(tuple(layer.over(number) for layer in self.layers), self.left_out)


def gradients(module: nn.Module, x: Tensor, y: Tensor, losses: Losses) -> Gradients:
    """Gradients of ``losses`` at the module's present weights, in inference mode, of records ``x`` [n, ...], ``y`` [n].

    Parameters of which the layers do not tell are differentiated record by record. ValueError where the gradients of
    every parameter take too much room.
    """
    module.eval()
    parts = [(x[i : i + ROWS], y[i : i + ROWS]) for i in range(0, len(x), ROWS)]
    with differentiable(module):
        alone = _ALONE.get(module)
        if alone is None:
            alone = untold(module, *parts[0], losses)
            if len(parts[0][0]) > 1:
                _ALONE[module] = alone
        while True:
            found = [_batch(module, *part, losses, alone, len(x)) for part in parts]
            more = frozenset().union(*(stray for _, stray in found))
            if not more:
                return stacked([one for one, _ in found])
            alone |= more


def _batch(
    module: nn.Module, x: Tensor, y: Tensor, losses: Losses, alone: Set[str], number: int
) -> tuple[Gradients, frozenset[str]]:
    """Gradients of one batch of ``number`` records in all, and what should have been ``alone`` as well."""
    told = by_layers(module, x, y, losses, alone, number)
    small = {n for n, p in module.named_parameters() if n in alone and fits(number * p.numel())}
    layers = [*told.layers, *record_by_record(module, x, y, losses, small)]
    if not layers:
        raise ValueError(f"the gradients of {number} records take too much room in every layer of this model")
    return Gradients(tuple(layers), (*told.left_out, *sorted(alone - small))), told.stray


def stacked(found: Sequence[Gradients]) -> Gradients:
    """The gradients of several sets of records, one below the other."""
    layers = [below(parts) for parts in zip(*(one.layers for one in found), strict=True)]
    return Gradients(tuple(layers), found[0].left_out)
