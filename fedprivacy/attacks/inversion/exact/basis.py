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
SURE = 0.995


@dataclass(frozen=True, eq=False)
class Basis:
    """``records`` [B, n], as the layer reads them; what it makes of them, ``outputs`` [B, m]; their derivatives
    ``slopes`` [B, m] up to a common factor; the score ``match`` in [0, 1]."""

    records: Tensor
    outputs: Tensor
    slopes: Tensor
    match: float

    @property
    def silent(self) -> Tensor:
        """How likely each output [B, m] is negative, to an attacker who does not trust small ones."""
        return torch.sigmoid(-4 * self.outputs / self.outputs.std().clamp_min(1e-300))


def independent(found: Directions, size: int) -> list[int]:
    """Places of at most ``size`` directions, sparsest first, each independent of those before it."""
    basis = found.vectors.new_zeros(0, found.vectors.shape[1])
    chosen: list[int] = []
    for place, vector in enumerate(found.vectors):
        rest = vector - basis.T @ (basis @ vector)
        rest = rest - basis.T @ (basis @ rest)
        length = torch.linalg.vector_norm(rest)
        if float(length) > INDEPENDENT:
            basis = torch.cat([basis, rest[None] / length])
            chosen.append(place)
        if len(chosen) == size:
            break
    return chosen


def read(made: Factors, found: Directions, chosen: list[int], weight: Tensor, bias: Tensor) -> Basis | None:
    """The records of a whole basis, scaled by the bias gradient: ``Q 1 = r_b``; None where that fixes no scale."""
    q = found.vectors[chosen].T
    solved, _ = torch.linalg.solve_ex(q, made.right)
    scale = solved[:, -1]
    if not bool(solved.isfinite().all()) or float(scale.abs().min()) < 1e-12 * float(scale.abs().max()):
        return None
    records = solved[:, :-1] / scale[:, None]
    slopes = (made.left @ (q * scale)).T
    outputs = records @ weight.T + bias
    return Basis(records, outputs, slopes, float(((outputs > 0) != found.zero[chosen]).double().mean()))


def best_basis(
    made: Factors, found: Directions, chosen: list[int], weight: Tensor, bias: Tensor, exchanges: int = 100
) -> Basis | None:
    """The records behind ``made`` by a basis among the directions ``found``, starting from those ``chosen``.

    ``weight`` [m, n] and ``bias`` [m] are those that the layer had. At most ``exchanges`` other bases are tried.
    """
    best, tried = read(made, found, chosen, weight, bias), 0
    for other in range(len(found.vectors)):
        if best is not None and best.match >= SURE:
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
            after = read(made, found, swapped, weight, bias)
            if after is not None and (best is None or after.match > best.match):
                best, chosen = after, swapped
                break
    return best


def settled(made: Factors, best: Basis, weight: Tensor, bias: Tensor, rounding: float) -> Basis:
    """The basis fitted to exactly those rows at which its records are negative, where that agrees no less."""
    told = torch.linalg.vector_norm(made.left, dim=1) > 0
    silent = (best.outputs < 0) & told
    vectors = torch.stack([torch.linalg.svd(made.left[rows]).Vh[-1] for rows in silent])
    zero = (vectors @ made.left.T).abs() < rounding
    after = read(made, Directions(vectors, zero, zero.double().sum(1)), list(range(made.rank)), weight, bias)
    return after if after is not None and after.match >= best.match else best
