"""Generalised least squares against the known noise of a defense.

A defense that adds N(0, s^2) to every entry of an update, before Adam is undone, leaves noise of ``s`` times Adam's
denominator: entries that Adam stretched little are worth more. Equations are weighted by one over that variance plus
the variance that the simulations show without noise; where that variance rules, this changes nothing (Aitken 1935).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedprivacy.attacks.membership.joint.layers import split
from fedprivacy.federation.environment import Part

LEAST = 0.01
"""Smallest part of the variance between simulations that is taken to be no noise."""


def weighted(moved: Sequence[Part], by: Mapping[str, Tensor], deviation: float) -> dict[str, Tensor]:
    """Square roots of the weights of all entries, matrices as products of rows and columns; 1 without noise.

    ``moved``: the simulated changes with Adam undone, [worlds] by name; ``by``: Adam's denominators; ``deviation`` of
    the noise on an entry of a change as it was sent.
    """
    entries = sum(t.numel() for t in moved[0].values())
    total, added = 0.0, 0.0
    for name, first in moved[0].items():
        stack = torch.stack([one[name] for one in moved]).double()
        total += float(stack.var(dim=0).sum()) / entries
        scale = by[name].double() if name in by else torch.ones_like(first, dtype=torch.float64)
        added += deviation**2 * float(scale.square().sum()) / entries
    own = max(total - added, LEAST * total)
    found: dict[str, Tensor] = {}
    for name, first in moved[0].items():
        scale = by[name] if name in by else torch.ones_like(first)
        root = (own / (own + (deviation * scale).square())).sqrt()
        found[name] = _product(root)
    return found


def _product(root: Tensor) -> Tensor:
    if root.ndim != 2:
        return root
    rows, columns = split(root)
    return rows[:, None] * columns
