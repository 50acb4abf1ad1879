"""Low-rank compression of a model update, matrix by matrix (Wu et al. 2022, arXiv 2108.13323).

A tensor of more than one dimension is one matrix (out, everything else): a convolution is (out, in * kh * kw). The rank
is the smallest whose squared singular values hold a share ``energy`` of all; where the factors would take as many
numbers as the matrix itself, it travels as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.wire.payloads import LowRank

SMALL, FIRST, POWERS = 128, 32, 4
"""Gram matrices up to this size are decomposed whole; columns and steps of the first subspace iteration beyond."""
PRECISE = 0.999
"""Above this share the small singular values matter, and the decomposition is taken in float64."""


def energy_at(start: float, end: float, round: int, rounds: int) -> float:
    """``T(t) = start + (end - start) t`` with t the fraction of the training that is done, ``round / rounds``."""
    return start + (end - start) * round / rounds


def rank_for(squares: Tensor, energy: float, total: Tensor | None = None) -> int | None:
    """Smallest K with ``sum_{i <= K} squares_i >= energy * total``; at least 1, None where all are not enough.

    ``squares`` [n]: squared singular values, largest first; ``total``: the sum of all, where ``squares`` are only the
    largest. What is left out is summed, not what is kept, so that ``energy`` 1 leaves out nothing but exact zeros.
    """
    values = squares.double()
    everything = values.sum() if total is None else total.double()
    rest = (everything - values.sum()).clamp_min(0) if total is not None else everything * 0
    left_out = rest + torch.cat([values.flip(0).cumsum(0).flip(0)[1:], values.new_zeros(1)])
    enough = left_out <= (1 - energy) * (1 + 1e-12) * everything
    return max(1, int(enough.to(torch.int8).argmax()) + 1) if bool(enough.any()) else None


def useful_rank(rows: int, columns: int) -> int:
    """Largest K whose factors, ``K (rows + columns + 1)`` numbers, are fewer than ``rows * columns``; may be 0."""
    return (rows * columns - 1) // (rows + columns + 1)


def factorise(matrix: Tensor, energy: float) -> tuple[Tensor, Tensor, Tensor] | None:
    """Factors [P, K], [K], [K, Q] of ``matrix`` [P, Q] at ``energy``; None where they would not be smaller.

    The product is the projection of ``matrix`` on its leading directions.
    """
    rows, columns = matrix.shape
    most = useful_rank(rows, columns)
    if most == 0 or not bool(matrix.any()):
        return None
    work = matrix.to(torch.float64 if energy > PRECISE else torch.float32)
    wide = rows <= columns
    work = work if wide else work.T
    directions = leading_directions(work, energy)
    projected = directions.T @ work
    squares = projected.double().square().sum(dim=1)
    order = squares.argsort(descending=True, stable=True)
    rank = rank_for(squares[order], energy, work.double().square().sum())
    if rank is None or rank > most:
        return None
    kept = order[:rank]
    sigma = squares[kept].sqrt()
    near = directions[:, kept].to(matrix.dtype)
    far = (projected[kept] / sigma[:, None].clamp_min(torch.finfo(torch.float32).tiny)).to(matrix.dtype)
    left, right = (near, far) if wide else (far.T, near.T)
    return left.contiguous(), sigma.to(matrix.dtype), right.contiguous()


def leading_directions(work: Tensor, energy: float) -> Tensor:
    """Orthonormal columns [P, n] that span the leading left singular vectors of ``work`` [P, Q], P <= Q.

    From the Gram matrix: all of its eigenvectors where it is small, else as many as hold ``energy``, by subspace
    iteration on twice the columns that are needed. Updates of a round have few: several times faster than a singular
    value decomposition.
    """
    gram = work @ work.T
    if len(gram) > SMALL and energy <= PRECISE:
        total = gram.diagonal().double().sum()
        columns = FIRST
        while columns <= len(gram) // 4:
            found = _iterated(gram, columns)
            held = (found.T @ gram * found.T).sum(dim=1).double().sort(descending=True).values
            needed = rank_for(held, energy, total)
            if needed is not None and 2 * needed <= columns:
                return found
            columns *= 2
    directions: Tensor = torch.linalg.eigh(gram).eigenvectors
    return directions


def _iterated(gram: Tensor, columns: int) -> Tensor:
    """Ritz vectors [P, columns] of a Gram matrix after a few power iterations from a fixed start."""
    start = torch.randn(len(gram), columns, generator=seeds.generator(0, "low-rank", len(gram)), dtype=gram.dtype)
    basis: Tensor = torch.linalg.qr(gram @ start).Q
    for _ in range(POWERS):
        basis = torch.linalg.qr(gram @ basis).Q
    rotation: Tensor = torch.linalg.eigh(basis.T @ gram @ basis).eigenvectors
    return basis @ rotation


def compress(update: Mapping[str, Tensor], energy: float) -> LowRank:
    """``update`` in factors. Vectors, counters and matrices that would not shrink travel as they are."""
    left: dict[str, Tensor] = {}
    sigma: dict[str, Tensor] = {}
    right: dict[str, Tensor] = {}
    dense: dict[str, Tensor] = {}
    shapes: list[list[str | list[int]]] = []
    for name, tensor in update.items():
        factors = None
        if tensor.ndim > 1 and tensor.is_floating_point():
            factors = factorise(tensor.reshape(tensor.shape[0], -1), energy)
        if factors is None:
            dense[name] = tensor
        else:
            left[name], sigma[name], right[name] = factors
            shapes.append([name, list(tensor.shape)])
    return LowRank(left, sigma, right, dense, shapes)
