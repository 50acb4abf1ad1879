"""Records out of several imprinted blocks at once, each block a list of bins along a direction of its own.

What a record adds to its bin is the same in every block: its derivative s and ``s x``. Two bins of different blocks
with equal contents therefore hold one record, alone in both; taken out of all blocks it leaves others alone, and so on.
That is the decoding of an invertible Bloom lookup table (Goodrich, Mitzenmacher 2011) with the projections as hashes:
it goes on until there are nearly as many records as bins, where one list of bins loses every record that shares one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SWEEPS = 100
"""Most times that records are taken out: each time is at least one, and usually all that are alone by then."""
ALIKE = 0.02
"""Relative difference of two bins' contents up to which they are the same."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """``sums`` [g, k] and ``rows`` [g, k, d]: what each bin holds of the derivatives s and of ``s x``.

    A record's bin in a block is the last of ``thresholds`` [g, k], ascending, below its projection on ``directions``
    [g, d]. ``empty``: sums that close to 0 are none.
    """

    sums: Tensor
    rows: Tensor
    thresholds: Tensor
    directions: Tensor
    empty: float

    def bins(self, x: Tensor) -> Tensor:
        """The bin [n, g] of each record [n, d] in each block."""
        projected = (x @ self.directions.T).T.contiguous()
        return (torch.searchsorted(self.thresholds, projected) - 1).clamp_min(0).T


def peeled(blocks: Blocks) -> tuple[Tensor, Tensor]:
    """Records [m, d] that two blocks agree on, those that more agree on first, and what is left in the fullest block.

    The left ones are means of records that no two blocks tell apart. With one block nothing agrees, and all are left.
    """
    sums, rows = blocks.sums.clone(), blocks.rows.clone()
    found, needed = rows.new_zeros(0, rows.shape[2]), len(sums) - 1
    for _ in range(SWEEPS):
        if needed < 1:
            break
        x, share, where = _agreed(blocks, sums, rows, needed)
        if not len(x):
            needed -= 1
            continue
        found, needed = torch.cat([found, x]), len(sums) - 1
        for block, (sum_of, row_of) in enumerate(zip(sums, rows, strict=True)):
            sum_of.index_add_(0, where[:, block], -share)
            row_of.index_add_(0, where[:, block], -share[:, None] * x)
            touched = where[:, block].unique()
            largest = torch.zeros_like(sum_of).scatter_reduce_(0, where[:, block], share.abs(), "amax")
            gone = touched[(sum_of.abs() <= (ALIKE * largest).clamp_min(blocks.empty))[touched]]
            sum_of[gone], row_of[gone] = 0, 0
    full = sums.abs() > blocks.empty
    place = int(full.sum(1).argmax())
    return found, rows[place][full[place]] / sums[place][full[place], None]


def _agreed(blocks: Blocks, sums: Tensor, rows: Tensor, needed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Records [m, d] on whose bins at least ``needed`` further blocks agree, their sums [m] and bins [m, g]."""
    block, place = torch.nonzero(sums.abs() > blocks.empty, as_tuple=True)
    share, content = sums[block, place], rows[block, place]
    x = content / share[:, None]
    where, size = blocks.bins(x), torch.linalg.vector_norm(content, dim=1)
    agree = torch.zeros_like(block)
    for other in range(len(sums)):
        at = where[:, other]
        apart = torch.linalg.vector_norm(rows[other, at] - content, dim=1)
        alike = (apart <= ALIKE * size) & ((sums[other, at] - share).abs() <= ALIKE * share.abs() + blocks.empty)
        agree += (alike & (block != other)).long()
    good = (agree >= needed) & (where.gather(1, block[:, None]).squeeze(1) == place)
    x, share, where = x[good], share[good], where[good]
    _, numbers = torch.unique(where, dim=0, return_inverse=True)
    first = torch.full((int(numbers.max()) + 1 if len(numbers) else 0,), len(numbers), dtype=torch.long)
    first = first.scatter_reduce(0, numbers, torch.arange(len(numbers)), "amin")
    return x[first], share[first], where[first]
