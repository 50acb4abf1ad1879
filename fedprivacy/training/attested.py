"""A second look at an engine's gradients, by a way that knows nothing of layers.

For random weights ``w`` the gradient of ``sum_i w_i l_i`` is ``sum_i w_i g_i`` (Freivalds 1977 checks a matrix product
in this manner): one ordinary backward pass finds a layer that was left out or taken for another, rows of the batch that
were mixed up, and records that act on each other's loss. It sees one batch; what only other records would show, such as
a word that this batch does not hold, is refused by the kind of layer instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.training.clipping import Batch, Gradients, NotCovered

FAULT = 1e-2
"""Smallest relative error of one parameter's sum that is a fault and not rounding."""
WEIGHED = 4
"""Records whose norm is compared with that of their own gradient."""


def attested(find: Callable[[], Gradients], batch: Batch) -> Gradients:
    """What ``find`` finds, if it is the batch's gradients; raises NotCovered otherwise.

    Dropout draws what it drew for ``find``, and what follows draws as if this had not run.
    """
    devices = [batch.x.device] if batch.x.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        ordinary = batch.each()
    found = find()
    told = batch.told
    norms = found.norms
    if not bool(torch.isfinite(norms).all()):
        return found
    draw = seeds.generator(0, "attested", len(batch))
    weights = (torch.rand(len(batch), generator=draw) + 0.5).to(norms)
    wanted = torch.autograd.grad(
        (weights.to(ordinary) * ordinary).sum(), list(batch.parameters), allow_unused=True, materialize_grads=True
    )
    given = found.weighted(weights)
    rounding = _rounding(norms)
    floor = rounding**2 * 100 * float((weights * norms).sum())
    for parameter, expected in zip(batch.parameters, wanted, strict=True):
        if _norm([given[parameter] - expected]) > FAULT * _norm([expected]) + floor:
            raise NotCovered("the gradients found do not add up to that of the whole batch")
    for i in torch.linspace(0, len(batch) - 1, min(len(batch), WEIGHED)).long():
        alone = torch.zeros_like(norms)
        alone[i] = 1
        own = _norm(list(found.weighted(alone).values()))
        if abs(own - float(norms[i])) > rounding * max(own, float(norms[i])):
            raise NotCovered("a norm is not that of its gradient")
    batch.told = told
    return found


def _norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.double().norm() for tensor in tensors]).norm())


def _rounding(norms: Tensor) -> float:
    """Half of the digits of a number type; on a GPU float32 products may have 10 bits."""
    if norms.device.type == "cuda" and norms.dtype == torch.float32:
        return 5e-3
    return math.sqrt(torch.finfo(norms.dtype).eps)
