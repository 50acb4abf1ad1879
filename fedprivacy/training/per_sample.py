"""The sum of clipped per-sample gradients from one forward and one backward pass.

Book-keeping (Bu et al. 2023, arXiv 2210.00038): a sample's gradient of a linear map is the outer product of its input
and the gradient of its output, so its norm is the product of two norms, and the clipped sum is one matrix product.
Convolutions unfold their input; where the gradient is larger than the two Gram matrices its norm is taken from those
(Goodfellow 2015, arXiv 1510.01799; Bu et al. 2022, arXiv 2205.10683).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy.training.recording import Recording, Use


class NotCovered(Exception):
    """A parameter is used in a way that the recording does not know."""


@dataclass(frozen=True, eq=False)
class Clipped:
    """Sum over the batch of gradients scaled by ``min(1, bound / norm)``, by parameter, and the norms [B] before."""

    total: dict[nn.Parameter, Tensor]
    norms: Tensor


@dataclass(frozen=True, eq=False)
class _Part:
    """Share of the squared norms [b] that one parameter has, and its weighted sum for factors [b]."""

    squares: Tensor
    weighted: Callable[[Tensor], Tensor]


def clipped_sum(parameters: Sequence[nn.Parameter], losses: Callable[[], Tensor], bound: float) -> Clipped:
    """Clip, summed over samples: ``sum_i g_i min(1, bound / ||g_i||)`` with ``g_i`` the gradient of ``losses()[i]``.

    ``losses`` computes the loss of each sample [B]; sample i may depend on no other sample of the batch. The bound
    is on the L2 norm over all ``parameters`` together. Raises NotCovered where a parameter is used by an operation
    that is not recorded, and ValueError where a layer saw other rows than the batch, such as public records in the
    same graph, or a weight is used twice.
    """
    for parameter in parameters:
        parameter.grad = None
    with Recording(parameters) as seen:
        each = losses()
    each.sum().backward()
    stray = [parameter for parameter in parameters if parameter.grad is not None]
    for parameter in stray:
        parameter.grad = None
    if stray:
        raise NotCovered("a parameter is used outside linear maps, convolutions and normalisations")
    slices: dict[nn.Parameter, list[_Part]] = {}
    for use in seen.uses:
        if use.outputs is None:
            continue
        for parameter, part in _parts(use):
            slices.setdefault(parameter, []).append(part)
    squares = torch.zeros_like(each)
    for parts in slices.values():
        if sum(len(part.squares) for part in parts) != len(each):
            raise ValueError(f"a layer saw other rows than the {len(each)} of the batch, or a weight is used twice")
        squares += torch.cat([part.squares for part in parts])
    norms = squares.clamp_min(0).sqrt()
    factors = (bound / norms).clamp(max=1.0)
    factors[norms == 0] = 1.0
    total = {parameter: _weighted(slices.get(parameter, ()), factors, parameter) for parameter in parameters}
    return Clipped(total, norms.detach())


def _weighted(parts: Sequence[_Part], factors: Tensor, parameter: nn.Parameter) -> Tensor:
    if not parts:
        return torch.zeros_like(parameter)
    pieces = factors.split([len(part.squares) for part in parts])
    found = [part.weighted(piece) for part, piece in zip(parts, pieces, strict=True)]
    return torch.stack(found).sum(dim=0) if len(found) > 1 else found[0]


def _parts(use: Use) -> list[tuple[nn.Parameter, _Part]]:
    x, g = use.inputs, use.outputs
    assert x is not None
    assert g is not None
    if use.kind == "scale":
        return _scale(use, x.detach() * g, g)
    if use.kind == "linear" and x.ndim == 2:
        return _outer(use, x.detach(), g)
    if use.kind == "linear":
        rows = x.detach().flatten(1, -2).transpose(1, 2)
        return _product(use, rows, g.flatten(1, -2).transpose(1, 2))
    assert use.geometry is not None
    stride, padding, dilation, groups = use.geometry
    if groups != 1:
        raise NotCovered("grouped convolutions")
    kernel = (1, 1) if use.weight is None else (use.weight.shape[2], use.weight.shape[3])
    unfolded = functional.unfold(x.detach(), kernel, dilation, padding, stride)
    return _product(use, unfolded, g.reshape(len(g), g.shape[1], -1))


def _outer(use: Use, x: Tensor, g: Tensor) -> list[tuple[nn.Parameter, _Part]]:
    """One row a sample: ``||g_i x_i^T|| = ||g_i|| ||x_i||``."""
    heights = g.square().sum(dim=1)
    found = []
    if use.weight is not None:
        squares = heights * x.square().sum(dim=1)
        found.append((use.weight, _Part(squares, lambda c: (c[:, None] * g).T @ x)))
    if use.bias is not None:
        found.append((use.bias, _Part(heights, lambda c: c @ g)))
    return found


def _product(use: Use, x: Tensor, g: Tensor) -> list[tuple[nn.Parameter, _Part]]:
    """Several positions a sample: inputs [b, I, L] and output gradients [b, O, L]; gradient ``g_i x_i^T`` [O, I]."""
    found = []
    if use.weight is not None:
        shape = use.weight.shape
        if 2 * x.shape[2] ** 2 < x.shape[1] * g.shape[1]:
            gram = (x.transpose(1, 2) @ x) * (g.transpose(1, 2) @ g)
            squares = gram.sum(dim=(1, 2))
            part = _Part(squares, lambda c: torch.einsum("b,bol,bil->oi", c, g, x).view(shape))
        else:
            own = torch.bmm(g, x.transpose(1, 2)).flatten(1)
            part = _Part(own.square().sum(dim=1), lambda c: (c @ own).view(shape))
        found.append((use.weight, part))
    if use.bias is not None:
        found.append((use.bias, _rows(g.sum(dim=2))))
    return found


def _scale(use: Use, product: Tensor, g: Tensor) -> list[tuple[nn.Parameter, _Part]]:
    """A factor and a shift a channel: gradients are sums over the positions of a channel."""
    found = []
    if use.weight is not None:
        found.append((use.weight, _rows(product.flatten(2).sum(dim=2) if product.ndim > 2 else product)))
    if use.bias is not None:
        found.append((use.bias, _rows(g.flatten(2).sum(dim=2) if g.ndim > 2 else g)))
    return found


def _rows(own: Tensor) -> _Part:
    """Per-sample gradients [b, n] as they are."""
    return _Part(own.square().sum(dim=1), lambda c: c @ own)
