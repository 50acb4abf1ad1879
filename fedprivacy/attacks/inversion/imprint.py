"""A malicious first layer whose gradient is a list of the clients' records.

Fowl, Geiping, Czaja, Goldblum, Goldstein, "Robbing the Fed: Directly Obtaining Private Data in Federated Learning
with Modified Models" (2022). Every row measures the same projection ``w . x`` against a higher threshold, and only
the mean of the rows goes on, so a record sends the same derivative to each row it passes. The difference of the
gradients of two neighbouring rows then holds the records between their thresholds: alone, exactly. An active server
is needed, and weights must be shared. Several blocks of rows, each along a direction of its own, give every record
several places to be alone in (:mod:`~fedprivacy.attacks.inversion.peeling`); the sum of many clients' updates is then
read like one client's, as Shi et al., "Scale-MIA" (2023), and Zhao et al., "LOKI" (2023), do by other means.
"""

from __future__ import annotations

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.peeling import Blocks

EMPTY = 1e-12
KNOTS = 64


class ImprintedModel(nn.Module):
    """Flatten, ``imprint`` (blocks of equal rows, thresholds in the bias), ReLU, ``spread`` (equal columns), ``inner``.

    ``directions`` [d] or [g, d], one a block; ``thresholds`` [k] or [g, k], ascending.
    ``spread`` turns the mean of the rows into ``inner_shape`` values, all equal: the input of the unsuspecting rest.
    The mean and not the sum, so that softmax does not saturate and make records vanish from the gradient. ``gain``
    times the mean makes the gradient larger: weights travel in float32, and a small change of them is rounded away.
    ``shrink`` divides the rows and multiplies ``spread``, so that the model is the same and the change of the rows is
    larger beside them, by the square; one step on, the thresholds are then lost. ``pattern`` [inner_shape]: what the
    rest is shown, times the mean; ones where None.
    """

    def __init__(
        self,
        directions: Tensor,
        thresholds: Tensor,
        inner: nn.Module,
        inner_shape: tuple[int, ...] = (1,),
        gain: float = 1.0,
        shrink: float = 1.0,
        pattern: Tensor | None = None,
    ) -> None:
        super().__init__()
        directions, thresholds = torch.atleast_2d(directions), torch.atleast_2d(thresholds)
        self.blocks, size, width = len(directions), directions.shape[1], int(torch.Size(inner_shape).numel())
        bins = thresholds.numel()
        self.imprint, self.spread = nn.Linear(size, bins), nn.Linear(bins, width, bias=False)
        self.inner, self.inner_shape = inner, inner_shape
        with torch.no_grad():
            self.imprint.weight.copy_(shrink * directions.repeat_interleave(thresholds.shape[1], 0))
            self.imprint.bias.copy_(-shrink * thresholds.flatten())
            self.spread.weight.fill_(gain / shrink / bins)
            if pattern is not None:
                self.spread.weight.mul_(pattern.flatten()[:, None])

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


def loudest(inner: nn.Module, shape: tuple[int, ...], level: float = 0.5) -> Tensor:
    """The signs [shape] of the change of an input, flat at ``level``, that changes the logits of ``inner`` most.

    Shown along them, a record's mean leaves a far larger derivative than along a flat image, whose parts cancel.
    """
    flat = torch.full((1, *shape), level, requires_grad=True)
    logits = inner.eval()(flat)[0]
    rows = [torch.autograd.grad(value, flat, retain_graph=True)[0].flatten() for value in logits]
    found: Tensor = torch.linalg.svd(torch.stack(rows), full_matrices=False).Vh[0].sign()
    return torch.where(found == 0, 1.0, found).view(shape)


def lowest_projection(direction: Tensor, low: float = 0.0, high: float = 1.0) -> float:
    """A threshold just below every ``w . x`` of inputs in the box [low, high]."""
    least = float(torch.where(direction < 0, direction * high, direction * low).double().sum())
    return least - 1e-3 * (1 + abs(least))


def contents(
    weight: Tensor, bias: Tensor, weight_gradient: Tensor, bias_gradient: Tensor, blocks: int = 1, empty: float = EMPTY
) -> Blocks:
    """What the bins hold, from the gradient of ``imprint`` at ``weight`` [g k, d] and ``bias`` [g k], in float64.

    The scale does not matter, so the update of one local step serves as well. Several local steps move the
    thresholds, and the read-out stops being exact. A bin whose bias gradient is within ``empty`` of 0 holds nothing.
    """

    def parted(values: Tensor) -> Tensor:
        of_block = values.detach().double().unflatten(0, (blocks, -1))
        return torch.cat([of_block[:, :-1] - of_block[:, 1:], of_block[:, -1:]], 1)

    thresholds = -bias.detach().double().view(blocks, -1)
    directions = weight.detach().double().unflatten(0, (blocks, -1))[:, 0]
    return Blocks(parted(bias_gradient), parted(weight_gradient), thresholds, directions, empty)


def alone_in_bin(bins: int, records: int, blocks: int = 1) -> float:
    """Expected share of ``records`` that meet no other in some of ``blocks`` of ``bins`` equally likely bins each.

    ``1 - (1 - (1 - 1/k)^(B - 1))^g`` for independent blocks; what others leave when they are taken out comes on top.
    """
    return float(1 - (1 - (1 - 1 / bins) ** (records - 1)) ** blocks)
