"""Ridge regression of one change on many gradients, and the log-odds that each coefficient stands for.

Model: ``change = sum_i c_i g_i + noise``, white noise of variance s^2, coins c_i centred and with variance t^2. With
``G_ij = <g_i, g_j>``, ``b_i = <change, g_i>`` and ``lambda = s^2 / t^2`` the posterior mean is
``x = (G + lambda)^-1 b`` and its variance ``s^2 V_ii`` with ``V = (G + lambda)^-1``, so that ``x_i / V_ii`` is ``s^2``
times the log-odds of the coin of i once all others are explained away (Bishop 2006, Section 3.3, for the posterior).

Up to :data:`DIRECT` columns one decomposition serves every ridge. Beyond, conjugate gradients on the Gram matrix, and
the diagonal of V by random signs (Hutchinson 1990; Bekas, Kokiopoulou, Saad 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from fedprivacy import seeds

DIRECT = 3000
SIGNS, STEPS, PRECISION = 16, 40, 1e-3

RIDGES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Lambda over the mean diagonal of G."""
FEW = (0.01, 0.1)
"""The same where each costs a solution by conjugate gradients."""


def solutions(gram: Tensor, sides: Tensor) -> Iterator[tuple[float, Tensor]]:
    """(ridge, log-odds [k, n] up to a factor) for right-hand sides [k, n], by ridge."""
    if len(gram) <= DIRECT:
        yield from _direct(gram.double(), sides.double())
    else:
        yield from _iterated(gram, sides.to(gram.dtype))


def _direct(gram: Tensor, sides: Tensor) -> Iterator[tuple[float, Tensor]]:
    mean = float(gram.diagonal().mean())
    values, vectors = torch.linalg.eigh(gram)
    rotated, squares = sides @ vectors, vectors.square()
    for ridge in RIDGES:
        inverse = 1 / (values.clamp_min(0) + ridge * mean)
        yield ridge, ((rotated * inverse) @ vectors.T) / (squares @ inverse)


def _iterated(gram: Tensor, sides: Tensor) -> Iterator[tuple[float, Tensor]]:
    mean = float(gram.diagonal().double().mean())
    draw = seeds.generator(0, "joint", "signs", len(gram))
    signs = 2.0 * torch.randint(0, 2, (SIGNS, len(gram)), generator=draw).to(gram.dtype) - 1
    for ridge in FEW:
        shift = ridge * mean
        diagonal = gram.diagonal() + shift
        found = conjugate_gradients(lambda v: v @ gram + shift * v, torch.cat([sides, signs]), diagonal)  # noqa: B023
        inverse = (found[len(sides) :] * signs).mean(dim=0)
        # No entry of the inverse's diagonal lies below one over the matrix's own.
        yield ridge, (found[: len(sides)] / torch.maximum(inverse, 1 / diagonal)).double()


def conjugate_gradients(apply: Callable[[Tensor], Tensor], sides: Tensor, diagonal: Tensor) -> Tensor:
    """Solutions [k, n] of ``A x = b`` by row of ``sides``, for A symmetric, positive definite, and its ``diagonal``."""
    x = torch.zeros_like(sides)
    rest = sides.clone()
    scaled = rest / diagonal
    direction = scaled.clone()
    power = (rest * scaled).sum(dim=1, keepdim=True)
    target = PRECISION**2 * power
    for _ in range(STEPS):
        image = apply(direction)
        step = power / (direction * image).sum(dim=1, keepdim=True).clamp_min(torch.finfo(sides.dtype).tiny)
        x += step * direction
        rest -= step * image
        scaled = rest / diagonal
        new = (rest * scaled).sum(dim=1, keepdim=True)
        if bool((new <= target).all()):
            break
        direction = scaled + new / power.clamp_min(torch.finfo(sides.dtype).tiny) * direction
        power = new
    return x


__all__: Sequence[str] = ["conjugate_gradients", "solutions"]
