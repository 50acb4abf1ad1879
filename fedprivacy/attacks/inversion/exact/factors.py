"""How many records lie behind the gradient of a dense layer, and the two factors that they made.

A dense layer ``z = W x + b`` that reads B records has ``dL/dW = D^T X`` and ``dL/db = D^T 1`` with D [B, m] the
derivatives by z and X [B, n] the records (Dimitrov, Baader, Mueller, Vechev, "SPEAR: Exact Gradient Inversion of
Batches in Federated Learning", 2024, section 3). So the rank of ``[dL/dW | dL/db]`` is B as long as B is below both
sides. That holds for any sum over steps of SGD on the same records, with momentum or a proximal term, since each adds
multiples of the records; rounding adds a flat tail of small singular values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

GAP = 8.0
"""How far the last singular value of a record lies above the first one of rounding, at least."""
FLAT = 8.0
"""How far rounding's largest singular value may lie above its median."""
ROUNDING = 2.0**-22
"""Share of the largest singular value below which there is nothing but rounding of float32, flat or not: the fewer the
records, the more the rounding of a wide layer follows them."""


@dataclass(frozen=True, eq=False)
class Factors:
    """``left`` [m, rank] orthonormal and ``right`` [rank, n + 1], whose product is the observed ``[dL/dW | dL/db]``.

    ``gap``: the smallest singular value that counts over the largest that does not.
    """

    left: Tensor
    right: Tensor
    gap: float

    @property
    def rank(self) -> int:
        """Records behind the gradient, as far as they are linearly independent."""
        return self.left.shape[1]


def factors(weight_gradient: Tensor, bias_gradient: Tensor) -> Factors | None:
    """The factors of a gradient, weight [m, n] and bias [m], in float64; None where it is not of low rank.

    Rows that no record activates and columns that no record fills are left out of the spectrum. More records than half
    of the rows cannot be told apart by zeros, so that a higher rank counts as none.
    Noise, sign-like optimisers, pruned entries, and batches that are not smaller than the layer's sides give a
    spectrum without a gap, or one with more than rounding behind it.
    """
    whole = torch.cat([weight_gradient, bias_gradient[:, None]], 1).detach().double()
    rows, columns = (whole != 0).any(1), (whole != 0).any(0)
    if not bool(whole.isfinite().all()) or int(rows.sum()) < 2 or int(columns.sum()) < 2:
        return None
    left, values, right = _singular(whole[rows][:, columns])
    values = values.clamp_min(torch.finfo(torch.float64).eps * max(whole.shape) * values[0])
    steps, most = values[:-1] / values[1:], int(rows.sum()) // 2
    tails = torch.stack([values[place:].median() for place in range(1, len(values))])
    told = (steps >= GAP) & ((values[1:] <= FLAT * tails) | (values[1:] <= ROUNDING * values[0]))
    told[most:] = False
    if not bool(told.any()):
        return None
    rank = int(torch.where(told, steps, 0.0).argmax()) + 1
    wide, tall = whole.new_zeros(len(whole), rank), whole.new_zeros(rank, whole.shape[1])
    wide[rows], tall[:, columns] = left[:, :rank], values[:rank, None] * right(rank)
    return Factors(wide, tall, float(steps[rank - 1]))


def _singular(block: Tensor) -> tuple[Tensor, Tensor, Callable[[int], Tensor]]:
    """Left vectors and values of ``block`` [m, n], and its first right vectors on demand; a wide one by its triangle,
    since a decomposition of a photograph's thirty thousand columns would cost six times as much."""
    if block.shape[1] <= 2 * block.shape[0]:
        left, values, right = torch.linalg.svd(block, full_matrices=False)
        return left, values, lambda rank: right[:rank]
    wide, triangle = torch.linalg.qr(block.T)
    left, values, turned = torch.linalg.svd(triangle.T)
    return left, values, lambda rank: turned[:rank] @ wide.T
