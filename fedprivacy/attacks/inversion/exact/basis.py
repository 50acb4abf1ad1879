"""Which of the sparse directions are the records: greedily by sparsity, then by whether the records explain the zeros.

SPEAR, sections 4.2 and 4.3: directions enter from the sparsest on while they are independent. The true basis recovers
records that, sent through the layer, are negative at exactly the rows at which their derivatives are zero; the share of
entries for which that holds is the score lambda, and an exchange that raises it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.attacks.inversion.exact.factors import Factors
from fedprivacy.attacks.inversion.exact.search import Directions

INDEPENDENT = 1e-5
APART = (INDEPENDENT, 0.2)
"""How far a direction has to lie from the span of others to enter a first basis. Where many mixtures hold a little of a
second record, the nearer ones would take the places of sparse records."""
SURE, LEAST = 0.995, 0.95
"""Scores of a whole basis and of each of its records above which no better one is sought. A single wrong record of a
large batch hardly lowers the first."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Directions ``q`` [B, B], one a column, and the ``scale`` [B] of each; what the layer makes of their records, at
    most in any step, ``outputs`` [B, m]; the rows ``zero`` [B, m] at which their derivatives are; the score ``match``
    in [0, 1]."""

    q: Tensor
    scale: Tensor
    outputs: Tensor
    zero: Tensor
    match: float

    @property
    def silent(self) -> Tensor:
        """How likely each output [B, m] is negative, to an attacker who does not trust small ones."""
        return torch.sigmoid(-4 * self.outputs / self.outputs.std().clamp_min(1e-300))

    @property
    def agreed(self) -> Tensor:
        """Share [B] of the ReLUs that agree, record by record."""
        return ((self.outputs > 0) != self.zero).double().mean(1)

    @property
    def sure(self) -> bool:
        """Whether no better basis need be sought."""
        return self.match >= SURE and float(self.agreed.min()) >= LEAST


class Layer:
    """The first layer under the weights that each of S steps met: the products ``read`` [S, B, m] of the right factor
    with them, its ``bias`` [S, m], and the factors that it ``made``."""

    def __init__(self, made: Factors, read: Tensor, bias: Tensor) -> None:
        self.made, self._bias = made, bias
        self._read = torch.cat([*read, made.right[:, -1:]], 1)

    @staticmethod
    def sent(made: Factors, weight: Tensor, bias: Tensor) -> Layer:
        """Under the weight [m, n] and the bias [m] that were sent, and no other."""
        return Layer(made, (made.right[:, :-1] @ weight.T)[None], bias[None])

    def read(self, vectors: Tensor, zero: Tensor) -> Basis | None:
        """The basis ``vectors`` [B, B], zero at the rows ``zero`` [B, m], scaled by the bias gradient: ``Q 1 = r_b``.

        None where that fixes no scale.
        """
        q = vectors.T
        solved, _ = torch.linalg.solve_ex(q, self._read)
        scale = solved[:, -1]
        if not bool(solved.isfinite().all()) or float(scale.abs().min()) < 1e-12 * float(scale.abs().max()):
            return None
        each = (solved[:, :-1] / scale[:, None]).unflatten(1, (len(self._bias), -1)) + self._bias
        outputs = each.amax(1)
        return Basis(q, scale, outputs, zero, float(((outputs > 0) != zero).double().mean()))

    def records(self, basis: Basis) -> Tensor:
        """The records [B, n] of a basis, as the layer reads them."""
        found: Tensor = torch.linalg.solve(basis.q, self.made.right[:, :-1]) / basis.scale[:, None]
        return found

    def slopes(self, basis: Basis) -> Tensor:
        """Derivatives [B, m] of the records' losses by the layer's output, up to a common factor."""
        return (self.made.left @ (basis.q * basis.scale)).T


def independent(found: Directions, size: int, apart: float = INDEPENDENT) -> list[int]:
    """Places of at most ``size`` directions, sparsest first, each farther than ``apart`` from the span of those before
    it."""
    basis = found.vectors.new_zeros(0, found.vectors.shape[1])
    chosen: list[int] = []
    for place, vector in enumerate(found.vectors):
        rest = vector - basis.T @ (basis @ vector)
        rest = rest - basis.T @ (basis @ rest)
        length = torch.linalg.vector_norm(rest)
        if float(length) > apart:
            basis = torch.cat([basis, rest[None] / length])
            chosen.append(place)
        if len(chosen) == size:
            break
    return chosen


def best_basis(layer: Layer, found: Directions, chosen: list[int], exchanges: int = 100) -> Basis | None:
    """The basis of highest score among the directions ``found``, starting from those ``chosen``.

    At most ``exchanges`` other bases are tried.
    """
    best, tried = layer.read(found.vectors[chosen], found.zero[chosen]), 0
    for other in range(len(found.vectors)):
        if best is not None and best.sure:
            break
        if other in chosen:
            continue
        shares, _ = torch.linalg.solve_ex(found.vectors[chosen].T, found.vectors[other])
        shares = shares.abs().nan_to_num()
        for place in shares.argsort(descending=True).tolist():
            if float(shares[place]) < INDEPENDENT or tried >= exchanges:
                break
            tried += 1
            swapped = [*chosen[:place], other, *chosen[place + 1 :]]
            after = layer.read(found.vectors[swapped], found.zero[swapped])
            if after is not None and (best is None or after.match > best.match):
                best, chosen = after, swapped
                break
    return best


def settled(layer: Layer, best: Basis, rounding: float) -> Basis:
    """The basis fitted to exactly those rows at which its records are negative, where that agrees no less."""
    left = layer.made.left
    told = torch.linalg.vector_norm(left, dim=1) > 0
    silent = (best.outputs < 0) & told
    vectors = torch.stack([torch.linalg.svd(left[rows]).Vh[-1] for rows in silent])
    zero = (vectors @ left.T).abs() < rounding
    after = layer.read(vectors, zero)
    return after if after is not None and after.match >= best.match else best
