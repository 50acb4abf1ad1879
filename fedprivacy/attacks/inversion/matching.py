"""Distances between a simulated and an observed gradient, each with its derivative in closed form.

Squared L2: Zhu, Liu, Han, "Deep Leakage from Gradients" (2019). Cosine over all layers together, and total variation:
Geiping et al., "Inverting Gradients - How easy is it to break privacy in federated learning?" (2020). Every distance
returns ``(value [P], derivative)``, so that an optimiser needs no graph through it. Lower is a better match.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Distance = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(simulated [P, n], observed [P, n]) -> value [P] and its derivative in the simulated gradient."""


def squared_l2(simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """``sum (G - g)^2`` over all layers, for each problem: [P, n] twice -> [P], derivative in G [P, n]."""
    difference = simulated - observed
    return torch.linalg.vecdot(difference, difference), 2 * difference


def cosine(simulated: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """``1 - <G, g> / (|G| |g|)`` over all layers together, in [0, 2]: -> [P], derivative in G [P, n]."""
    dot = torch.linalg.vecdot(simulated, observed)
    square = torch.linalg.vecdot(simulated, simulated)
    size = (square * torch.linalg.vecdot(observed, observed)).sqrt()
    alike = dot / size
    return 1 - alike, (alike / square)[:, None] * simulated - observed / size[:, None]


def total_variation(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute difference along rows plus along columns: [P, ..., H, W] -> [P], derivative like ``images``."""
    across, value = _variation(images)
    along, other = _variation(images.mT)
    return value + other, across + along.mT


def _variation(images: Tensor) -> tuple[Tensor, Tensor]:
    steps = images.diff(dim=-1)
    count = max(1, steps[0].numel())
    return F.pad(steps.sign(), (1, 1)).diff(dim=-1).mul_(-1 / count), steps.abs().flatten(1).sum(1) / count


def relative_l2(simulated: Tensor, observed: Tensor, scale_known: bool = True) -> Tensor:
    """``|G - g| / |g|`` in float64, [P]: the common loss that attacks are compared by. 0 matches, 1 is as good as 0.

    Where the scale of the observation is unknown (an update of unknown learning rate) G is scaled to fit best.
    """
    left, right = simulated.double(), observed.double()
    if not scale_known:
        square = torch.linalg.vecdot(left, left).clamp_min(torch.finfo(left.dtype).tiny)
        left = left * (torch.linalg.vecdot(left, right) / square).clamp_min(0)[:, None]
    distance: Tensor = torch.linalg.vector_norm(left - right, dim=1) / torch.linalg.vector_norm(right, dim=1)
    return distance
