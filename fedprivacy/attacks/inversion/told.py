"""What a message tells of a whole gradient: a projection that leaves out all that is not known of it.

Coordinates that were cut off, and layers that were not sent, are unknown. Of a matrix ``U S V^T + R`` whose small
singular values were left out, ``R`` is; but ``U^T R`` and ``R V`` are known to be zero, so of a simulated matrix ``G``
only ``(1 - U U^T) G (1 - V V^T)`` says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedprivacy.attacks.inversion.gradients import Bound, Layout
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.matching import Distance

ROUNDING = 1e-5
"""Singular values below this share of the largest are those of rounding."""


@dataclass(frozen=True, eq=False)
class Factor:
    """Where a matrix [m, k] lies in a flat gradient, and the singular vectors ``left`` [P, m, K] and ``right``
    [P, k, K] that were sent of it; fewer than K are filled up with zeros."""

    place: slice
    left: Tensor
    right: Tensor


@dataclass(frozen=True, eq=False)
class Told:
    """Of P problems: which coordinates ``known`` [P, n] are (0 or 1; None: all), and matrices of which ``factors``
    alone were sent."""

    known: Tensor | None = None
    factors: tuple[Factor, ...] = ()

    def of(self, values: Tensor, problems: Tensor) -> Tensor:
        """The part of ``values`` [A, n] that the messages of ``problems`` [A] tell; symmetric and idempotent."""
        if self.known is not None:
            values = values * self.known[problems].to(values)
        if self.factors:
            values = values.clone()
        for one in self.factors:
            left, right = one.left[problems].to(values), one.right[problems].to(values)
            whole = values[:, one.place].unflatten(1, (left.shape[1], right.shape[1]))
            beside = whole - left @ (left.mT @ whole)
            values[:, one.place] = (whole - beside + beside @ right @ right.mT).flatten(1)
        return values

    def repeated(self, times: int) -> Told:
        """The same where each problem stands ``times`` times, side by side."""
        known = None if self.known is None else self.known.repeat_interleave(times, 0)
        factors = tuple(
            replace(f, left=f.left.repeat_interleave(times, 0), right=f.right.repeat_interleave(times, 0))
            for f in self.factors
        )
        return Told(known, factors)

    def chosen(self, problems: Tensor) -> Told:
        """That of some problems."""
        known = None if self.known is None else self.known[problems]
        factors = tuple(replace(f, left=f.left[problems], right=f.right[problems]) for f in self.factors)
        return Told(known, factors)


WHOLE = Told()
"""All is told."""


def told(knowledge: Knowledge, layout: Layout, observed: Tensor) -> Told:
    """What the messages ``observed`` [T, n] tell, as far as the card knows."""
    places, first = dict[str, slice](), 0
    for name, shape in layout.shapes:
        places[name] = slice(first, first + int(torch.Size(shape).numel()))
        first = places[name].stop
    known = observed != 0 if knowledge.zeros == "unknown" else None
    if knowledge.silent:
        known = torch.ones_like(observed, dtype=torch.bool) if known is None else known.clone()
        for name in knowledge.silent:
            known[:, places[name]] = False
    factors = [
        _factor(places[name], observed[:, places[name]].unflatten(1, (shape[0], -1)))
        for name, shape in layout.shapes
        if name in knowledge.low_rank and name not in knowledge.silent
    ]
    return Told(known, tuple(factors))


def _factor(place: slice, matrices: Tensor) -> Factor:
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    sent = values > ROUNDING * values[:, :1]
    kept = max(1, int(sent.sum(1).max()))
    left, right, sent = left[:, :, :kept], right.mT[:, :, :kept], sent[:, None, :kept]
    return Factor(place, (left * sent).to(matrices), (right * sent).to(matrices))


def held_against(distance: Distance, observed: Tensor, told: Told = WHOLE) -> Bound:
    """``distance`` to ``observed`` [P, n] over what is told of it."""

    def found(simulated: Tensor, problems: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = distance(told.of(simulated, problems), told.of(observed[problems], problems))
        return value, told.of(slope, problems)

    return found
