"""Which engine tells a module's gradients: the first that covers it, each sum of its kind attested once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import nn

from fedprivacy.training.attested import attested
from fedprivacy.training.clipping import Batch, Clipped, Gradients, NotCovered, clipped
from fedprivacy.training.one_by_one import by_function, one_by_one
from fedprivacy.training.per_sample import recorded

Name = Literal["auto", "func", "opacus", "ghost"]
Engine = Callable[[Batch, float], Clipped]
"""(batch, clip bound) -> clipped sum; raises NotCovered."""

_ATTESTED: WeakKeyDictionary[nn.Module, set[tuple[str, int]]] = WeakKeyDictionary()
"""Engines that were attested for a module and a number of trained parameters; once in a process is enough."""


class Engines:
    """Clipped sums of one module's gradients: by the named engine until it does not cover a batch, then by the next.

    ``refusals`` tells which engines gave up, and why.
    """

    def __init__(self, first: Name = "auto") -> None:
        self._left: list[tuple[str, Engine]] = [*_FIRST[first], ("func", by_function), ("loop", one_by_one)]
        self.refusals: list[tuple[str, str]] = []

    @property
    def name(self) -> str:
        """The engine in use."""
        return self._left[0][0]

    def clipped(self, batch: Batch, bound: float) -> Clipped:
        """``sum_i g_i min(1, bound / ||g_i||)`` over the batch."""
        if not len(batch):
            zeros = {parameter: torch.zeros_like(parameter) for parameter in batch.parameters}
            return Clipped(zeros, batch.x.new_zeros(0))
        while len(self._left) > 1:
            try:
                return self._left[0][1](batch, bound)
            except NotCovered as error:
                self.refusals.append((self._left.pop(0)[0], str(error)))
        return self._left[0][1](batch, bound)


def by_recording(batch: Batch, bound: float) -> Clipped:
    """One recorded backward pass."""
    return clipped(_once("recording", batch, lambda: recorded(batch.parameters, batch.each)), bound)


def by_opacus(batch: Batch, bound: float) -> Clipped:
    """Opacus' hooks, gradients written out."""
    from fedprivacy.training import opacus_clipping

    return clipped(_once("opacus", batch, lambda: opacus_clipping.of_hooks(batch)), bound)


def by_ghost_clipping(batch: Batch, bound: float) -> Clipped:
    """Opacus' hooks, norms alone and a second backward pass."""
    from fedprivacy.training import opacus_clipping

    return clipped(_once("ghost", batch, lambda: opacus_clipping.of_ghost(batch)), bound)


def _once(name: str, batch: Batch, find: Callable[[], Gradients]) -> Gradients:
    done = _ATTESTED.setdefault(batch.module, set())
    if (name, len(batch.parameters)) in done:
        return find()
    found = attested(find, batch)
    if len(batch) > 1 and bool(torch.isfinite(found.norms).all()):
        done.add((name, len(batch.parameters)))
    return found


_FIRST: dict[Name, Sequence[tuple[str, Engine]]] = {
    "auto": [("recording", by_recording)],
    "func": [],
    "opacus": [("opacus", by_opacus)],
    "ghost": [("ghost", by_ghost_clipping)],
}
