"""Generalised least squares against the noise that the simulations show.

What a simulated change leaves over once its own coins are explained is noise: the order of batches, curvature, a
defense. It is larger in some layers, in some of a layer's outputs, in some of its inputs, and in entries that Adam
stretched little. An equation is weighted by one over its variance (Aitken 1935), which for a matrix is taken to be a
number a row times one a column: means over so many entries are known well from a few simulations. No coin of the
target is used, and no noise needs to be declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.adversary.threat import Bool
from fedprivacy.attacks.membership.joint.gradients import Gradients
from fedprivacy.federation.environment import Part

LEAST = 0.1
"""Of a row's or a column's mean variance, what every other is given beside its own."""


def precisions(found: Gradients, moved: Sequence[Part], coins: Bool) -> dict[str, Tensor]:
    """Square roots of the weights of all entries, by name; a matrix, or a kernel as one, is of rows times columns.

    ``moved``: the simulated changes with Adam undone [worlds], by ``coins`` [worlds, n] of the records of ``found``. A
    parameter that no simulation moved has no weight. Their scale is that of the largest mean weight being 1.
    """
    chosen = torch.from_numpy(coins).float()
    chosen = chosen - chosen.mean(dim=0)
    mean = {name: torch.stack([one[name] for one in moved]).mean(dim=0) for name in moved[0]}
    left = {name: _Left(*(torch.zeros_like(t) for _ in range(3))) for name, t in mean.items()}
    for flips, one in zip(chosen, moved, strict=True):
        for name, told in found.combined(flips).items():
            left[name].add(one[name] - mean[name], told.reshape(mean[name].shape))
    noise = {name: sums.variance() / len(moved) for name, sums in left.items()}
    means = {name: float(variance.mean()) for name, variance in noise.items()}
    smallest = min((size for size in means.values() if size > 0), default=0.0)
    return {name: _weights(v / smallest).sqrt() for name, v in noise.items() if means[name] > 0}


@dataclass(eq=False)
class _Left:
    """Sums over worlds of products of a change and what its coins tell, entry by entry."""

    change: Tensor
    both: Tensor
    told: Tensor

    def add(self, change: Tensor, told: Tensor) -> None:
        self.change += change * change
        self.both += change * told
        self.told += told * told

    def variance(self) -> Tensor:
        """Squares that are left once the coins' part, by one number for all entries, is taken off."""
        size = float(self.told.sum())
        answer = max(0.0, float(self.both.sum()) / size) if size > 0 else 0.0
        return (self.change - 2 * answer * self.both + answer**2 * self.told).clamp_min(0)


def _weights(variance: Tensor) -> Tensor:
    """One over what is left of a variance that is a product of rows and columns, each pulled to their mean."""
    if variance.ndim < 2:
        return 1 / (variance + LEAST * variance.mean())
    flat = variance.flatten(1)
    rows, columns, whole = flat.mean(dim=1), flat.mean(dim=0), flat.mean()
    product = (rows + LEAST * whole)[:, None] * (columns / whole + LEAST)
    return (1 / product).reshape(variance.shape)
