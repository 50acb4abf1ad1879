"""A malicious first layer whose gradient is a list of the clients' records.

Fowl, Geiping, Czaja, Goldblum, Goldstein, "Robbing the Fed: Directly Obtaining Private Data in Federated Learning
with Modified Models" (2022). Every row measures the same projection ``w . x`` against a higher threshold, and only
the mean of the rows goes on, so a record sends the same derivative to each row it passes. The difference of the
gradients of two neighbouring rows then holds the records between their thresholds: alone, exactly. An active server
is needed, and weights must be shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor, nn

EMPTY = 1e-12
KNOTS = 64


class ImprintedModel(nn.Module):
    """Flatten, ``imprint`` (k equal rows, thresholds in the bias), ReLU, ``spread`` (equal columns), then ``inner``.

    ``spread`` turns the mean of the rows into ``inner_shape`` values, all equal: the input of the unsuspecting rest.
    The mean and not the sum, so that softmax does not saturate and make records vanish from the gradient. ``gain``
    times the mean makes the gradient larger: weights travel in float32, and a small change of them is rounded away.
    ``shrink`` divides the rows and multiplies ``spread``, so that the model is the same and the change of the rows is
    larger beside them, by the square; one step on, the thresholds are then lost.
    """

    def __init__(
        self,
        direction: Tensor,
        thresholds: Tensor,
        inner: nn.Module,
        inner_shape: tuple[int, ...] = (1,),
        gain: float = 1.0,
        shrink: float = 1.0,
    ) -> None:
        super().__init__()
        bins, size, width = len(thresholds), len(direction), int(torch.Size(inner_shape).numel())
        self.imprint, self.spread = nn.Linear(size, bins), nn.Linear(bins, width, bias=False)
        self.inner, self.inner_shape = inner, inner_shape
        with torch.no_grad():
            self.imprint.weight.copy_(shrink * direction.expand(bins, size))
            self.imprint.bias.copy_(-shrink * thresholds)
            self.spread.weight.fill_(gain / shrink / bins)

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] -> what ``inner`` makes of it."""
        passed = torch.relu(self.imprint(x.flatten(1)))
        logits: Tensor = self.inner(self.spread(passed).unflatten(1, self.inner_shape))
        return logits


def thresholds_from(public: Tensor, direction: Tensor, bins: int, lowest: float, knots: int = KNOTS) -> Tensor:
    """Ascending thresholds [bins]: the j / bins quantiles of ``w . x`` over ``public`` [n, d], the first ``lowest``.

    ``lowest`` must lie below every possible ``w . x``, so that each record passes the first row. Above ``knots`` bins
    the quantiles are read from a monotone cubic curve through ``knots`` of them: with a few public records a bin the
    bins would otherwise differ in mass by chance, and records share the heavy ones.
    """
    projected = (public.double() @ direction.double()).cpu().numpy()
    levels = np.arange(1, bins) / bins
    if bins > knots:
        points = np.linspace(0, 1, knots + 1)
        quantiles = scipy.interpolate.PchipInterpolator(points, np.quantile(projected, points))(levels)
    else:
        quantiles = np.quantile(projected, levels)
    if bins > 1 and lowest >= quantiles[0]:
        raise ValueError(f"lowest ({lowest:g}) must be below the first quantile ({quantiles[0]:g}).")
    return torch.from_numpy(np.concatenate([[lowest], quantiles]))


def lowest_projection(direction: Tensor, low: float = 0.0, high: float = 1.0) -> float:
    """A threshold just below every ``w . x`` of inputs in the box [low, high]."""
    least = float(torch.where(direction < 0, direction * high, direction * low).double().sum())
    return least - 1e-3 * (1 + abs(least))


@dataclass(frozen=True, eq=False)
class Imprinted:
    """``records`` [m, d] read out, and their bins [m], ascending. Two records in one bin come out averaged."""

    records: Tensor
    bins: Tensor


def read_out(weight_gradient: Tensor, bias_gradient: Tensor, empty: float = EMPTY) -> Imprinted:
    """Records in the gradient of ``imprint``: weight [k, d], bias [k], in float64.

    The scale does not matter, so the update of one local step serves as well. Several local steps move the
    thresholds, and the read-out stops being exact. A bin whose bias gradient is within ``empty`` of 0 holds nothing.
    """
    rows, sums = weight_gradient.detach().double(), bias_gradient.detach().double()
    rows, sums = (torch.cat([part[:-1] - part[1:], part[-1:]]) for part in (rows, sums))
    bins = torch.nonzero(sums.abs() > empty).squeeze(1)
    return Imprinted(rows[bins] / sums[bins, None], bins)


def alone_in_bin(bins: int, records: int) -> float:
    """Expected share of ``records`` that meet no other in ``bins`` equally likely bins: (1 - 1/k)^(B - 1)."""
    return float((1 - 1 / bins) ** (records - 1))
