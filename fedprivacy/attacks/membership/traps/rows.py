"""Rows of a layer that fire on one record each: linear discriminants of a single candidate against everybody else.

A row w with threshold t in front of a ReLU has a gradient only where ``w . x > t``. A server that sends weights of its
own making can lay such rows in wait, one for a candidate: in a client's training a row moves if, and but for what the
optimiser carries along only if, its candidate is trained on. (Pichler, Romanelli, Vega, Piantanida, "Perfectly Accurate
Membership Inference by a Dishonest Central Server in Federated Learning", arXiv 2203.16463; Nguyen et al., "Active
Membership Inference Attack under Local Differential Privacy in Federated Learning", arXiv 2302.12685.)

With mean m and covariance C of records that the adversary knows, ``w_j = (C + r I)^-1 (x_j - m)`` has the largest
response to x_j beside the spread of its responses to the others (Fisher's discriminant for a class of one). The
threshold lies halfway between its response to x_j and the largest response to another record, and the row is scaled so
that both lie ``MARGIN`` from it. Dropout of the inputs at rate p adds a noise of covariance ``p/(1-p) diag E[x^2]`` to
what a row reads, so that belongs to C.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MARGIN = 5.0
"""Response of a row to its own record; its response to any other is at most minus that. Smaller where weights would
become larger than ``LARGEST``."""

LARGEST = 10.0
"""Largest weight that is sent; a row that would need larger ones has a smaller margin. Clients that encode weights in
fixed point, as under masks, refuse larger ones, and they would stand out."""

RIDGE = 0.1
"""r over the mean variance of an input."""

CLOSEST = 1e-3
"""Gap between the two largest responses over the larger one, below which two records are one to a row."""

BLOCK = 1024
"""Records whose responses are computed at a time."""


@dataclass(frozen=True, eq=False)
class TrapRows:
    """``weight`` [k, d] and ``bias`` [k] of k rows, in float32."""

    weight: Tensor
    bias: Tensor


class Discriminants:
    """Rows against everybody else in ``inputs`` [n, d]; mean and covariance are those of the records ``sample``.

    All arithmetic that decides is in float64, and what does not depend on the question is done once.
    """

    def __init__(self, inputs: Tensor, sample: Tensor, dropout: float = 0.0) -> None:
        self._inputs = inputs
        known = inputs[sample].double()
        self._mean = known.mean(dim=0)
        spread = known - self._mean
        ridge = RIDGE * spread.square().mean().clamp_min(1e-12).expand(len(self._mean))
        if dropout:
            ridge = ridge + dropout / (1 - dropout) * known.square().mean(dim=0)
        self._scale = ridge.sqrt()
        self._whiten = Whitening(spread / self._scale)

    def rows(self, own: Tensor) -> TrapRows:
        """One row for each record ``inputs[own]``; one that has a near copy among the others fires on both."""
        targets = (self._inputs[own].double() - self._mean) / self._scale
        rows = self._whiten(targets) / self._scale
        responses = torch.cat([(part.double() - self._mean) @ rows.T for part in self._inputs.split(BLOCK)])
        places = torch.arange(len(own))
        mine = responses[own, places]
        responses[own, places] = -torch.inf
        gap = torch.maximum(mine - responses.max(dim=0).values, CLOSEST * mine.abs())
        factor = 2 * MARGIN / gap
        weight = rows * factor[:, None]
        bias = MARGIN - factor * mine - weight @ self._mean
        shrink = (LARGEST / torch.maximum(weight.abs().max(dim=1).values, bias.abs())).clamp_max(1.0)
        return TrapRows((weight * shrink[:, None]).float(), (bias * shrink).float())


class Whitening:
    """``y -> (I + X'X / n)^-1 y`` for X [n, d], factored on the smaller side."""

    def __init__(self, known: Tensor) -> None:
        n, d = known.shape
        self._known = None if d <= n else known
        gram = torch.eye(d, dtype=known.dtype) + known.T @ known / n if d <= n else known @ known.T
        self._factor = torch.linalg.cholesky(gram if d <= n else gram + n * torch.eye(n, dtype=known.dtype))

    def __call__(self, targets: Tensor) -> Tensor:
        """[k, d] -> [k, d], row by row."""
        if self._known is None:
            return torch.cholesky_solve(targets.T, self._factor).T
        return targets - (self._known.T @ torch.cholesky_solve(self._known @ targets.T, self._factor)).T
