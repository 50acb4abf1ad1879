"""Low-rank compression of a model update, matrix by matrix (Wu et al. 2022, arXiv 2108.13323).

A tensor of more than one dimension is one matrix (out, everything else): a convolution is (out, in * kh * kw). The rank
is the smallest whose squared singular values hold a share ``energy`` of all; where the factors would take as many
numbers as the matrix itself, it travels as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedprivacy.payloads import LowRank

PRECISE = 0.999
"""Above this share the small singular values matter, and the decomposition is taken in float64."""


def energy_at(start: float, end: float, round: int, rounds: int) -> float:
    """``T(t) = start + (end - start) t`` with t the fraction of the training that is done, ``round / rounds``."""
    return start + (end - start) * round / rounds


def rank_for(squares: Tensor, energy: float) -> int:
    """Smallest K with ``sum_{i <= K} squares_i >= energy * sum squares``; at least 1.

    ``squares`` [n]: squared singular values, largest first. What is left out is summed, not what is kept, so that
    ``energy`` 1 leaves out nothing but exact zeros.
    """
    values = squares.double()
    left_out = torch.cat([values.flip(0).cumsum(0).flip(0)[1:], values.new_zeros(1)])
    enough = left_out <= (1 - energy) * (1 + 1e-12) * values.sum()
    return max(1, int(enough.to(torch.int8).argmax()) + 1)


def useful_rank(rows: int, columns: int) -> int:
    """Largest K whose factors, ``K (rows + columns + 1)`` numbers, are fewer than ``rows * columns``; may be 0."""
    return (rows * columns - 1) // (rows + columns + 1)


def factorise(matrix: Tensor, energy: float) -> tuple[Tensor, Tensor, Tensor] | None:
    """Factors [P, K], [K], [K, Q] of ``matrix`` [P, Q] at ``energy``; None where they would not be smaller.

    From the eigenvectors of the smaller Gram matrix, several times faster than a singular value decomposition: the
    product is the projection of ``matrix`` on the leading directions.
    """
    rows, columns = matrix.shape
    most = useful_rank(rows, columns)
    if most == 0 or not bool(matrix.any()):
        return None
    work = matrix.to(torch.float64 if energy > PRECISE else torch.float32)
    wide = rows <= columns
    work = work if wide else work.T
    directions = torch.linalg.eigh(work @ work.T).eigenvectors.flip(1)
    projected = directions.T @ work
    squares = projected.double().square().sum(dim=1)
    order = squares.argsort(descending=True, stable=True)
    rank = rank_for(squares[order], energy)
    if rank > most:
        return None
    kept = order[:rank]
    sigma = squares[kept].sqrt()
    near = directions[:, kept].to(matrix.dtype)
    far = (projected[kept] / sigma[:, None].clamp_min(torch.finfo(torch.float32).tiny)).to(matrix.dtype)
    left, right = (near, far) if wide else (far.T, near.T)
    return left.contiguous(), sigma.to(matrix.dtype), right.contiguous()


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
