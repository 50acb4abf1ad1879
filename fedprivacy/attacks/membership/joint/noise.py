"""Generalised least squares against the noise that the simulations show.

What a simulated change leaves over once its own coins are explained is noise: the order of batches, curvature, a
defense. It is larger in some layers, in some of a layer's outputs, in some of its inputs, and in entries that Adam
stretched little. An equation is weighted by one over its variance (Aitken 1935). What is assumed: the variance is a
number a row times one a column of a matrix, and one number for any other parameter, since an entry by itself is not
known from a few simulations; and a parameter answers to the coins by one number for all its entries. That number is
found too, and the gradients are multiplied by it: a bias before batch normalisation has gradients record by record but
hardly moves, and would, being quiet, say of every record that it was not there. No coin of the target is used, and no
noise needs to be declared. The weights fit the simulations that they were found in better than any other change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.adversary.threat import Bool
from fedprivacy.attacks.membership.joint.gradients import Gradients
from fedprivacy.federation.environment import Part

PULL = 6.0
"""Simulations that a matrix's mean variance is worth, where those of a row or a column are estimated."""


@dataclass(frozen=True, eq=False)
class Weighing:
    """What to multiply changes and gradients by, by parameter; a matrix, or a kernel as one, is of rows times columns.

    ``changes``: square roots of the weights, those of the largest mean weight being 1. ``gradients``: the same times
    how far the parameter answers to the coins, over how far the one does that answers most. Both positive; a parameter
    that no simulation moved, or that does not answer, is in neither.
    """

    changes: dict[str, Tensor]
    gradients: dict[str, Tensor]


def weighing(found: Gradients, moved: Sequence[Part], coins: Bool) -> Weighing:
    """By ``moved``, the simulated changes with Adam undone [worlds], and their ``coins`` [worlds, n] of ``found``."""
    chosen = torch.from_numpy(coins).float()
    chosen = chosen - chosen.mean(dim=0)
    mean = {name: torch.stack([one[name] for one in moved]).mean(dim=0) for name in moved[0]}
    left = {name: _Left(*(torch.zeros_like(t) for _ in range(3))) for name, t in mean.items()}
    for flips, one in zip(chosen, moved, strict=True):
        for name, told in found.combined(flips).items():
            left[name].add(one[name] - mean[name], told.reshape(mean[name].shape))
    answers = {name: answer for name, sums in left.items() if (answer := sums.answer()) > 0}
    noise = {name: left[name].variance(answer) / len(moved) for name, answer in answers.items()}
    means = {name: size for name, variance in noise.items() if (size := float(variance.mean())) > 0}
    if not means:
        return Weighing({}, {})
    smallest, most = min(means.values()), max(answers[name] for name in means)
    changes = {name: _weights(noise[name] / smallest, len(moved)).sqrt() for name in means}
    return Weighing(changes, {name: root * (answers[name] / most) for name, root in changes.items()})


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

    def answer(self) -> float:
        """By how much the change is what its coins tell: one number for all entries, by least squares."""
        size = float(self.told.sum())
        return float(self.both.sum()) / size if size > 0 else 0.0

    def variance(self, answer: float) -> Tensor:
        """Squares that are left once the coins' part is taken off."""
        return (self.change - 2 * answer * self.both + answer**2 * self.told).clamp_min(0)


def _weights(variance: Tensor, worlds: int) -> Tensor:
    """One over a variance that is a product of rows and columns, each pulled to their mean, or the same everywhere."""
    if variance.ndim < 2:
        return torch.full_like(variance, 1 / float(variance.mean()))
    flat = variance.flatten(1)
    share, whole = worlds / (worlds + PULL), flat.mean()
    rows, columns = (1 + share * (flat.mean(dim=over) / whole - 1) for over in (1, 0))
    return (1 / (whole * rows[:, None] * columns)).reshape(variance.shape)
