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

from fedprivacy.training.clipping import Clipped, NotCovered, clipped
from fedprivacy.training.recording import Recording, Use


@dataclass(frozen=True, eq=False)
class _Part:
    """Share of the squared norms [b] that one parameter has, and its weighted sum for factors [b]."""

    squares: Tensor
    weighted: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Recorded:
    """Gradients as products that are never written out: by parameter, the slices of the batch that used it."""

    parts: dict[nn.Parameter, list[_Part]]
    norms: Tensor

    def weighted(self, factors: Tensor) -> dict[nn.Parameter, Tensor]:
        """``sum_i factors_i g_i`` by parameter, for factors [B]."""
        return {parameter: _weighted(parts, factors, parameter) for parameter, parts in self.parts.items()}


def clipped_sum(parameters: Sequence[nn.Parameter], losses: Callable[[], Tensor], bound: float) -> Clipped:
    """Clip, summed over samples: ``sum_i g_i min(1, bound / ||g_i||)`` with ``g_i`` the gradient of ``losses()[i]``.

    The bound is on the L2 norm over all ``parameters`` together. Raises as :func:`recorded`.
    """
    return clipped(recorded(parameters, losses), bound)


def recorded(parameters: Sequence[nn.Parameter], losses: Callable[[], Tensor]) -> Recorded:
    """Gradients of the loss of each sample, ``losses()`` [B]; sample i may depend on no other sample of the batch.

    Raises NotCovered, a ValueError, where a parameter is used by an operation that is not recorded, where a layer saw
    other rows than the batch, such as public records in the same graph, or where a weight is used twice; ValueError
    where ``losses()`` is not one number a sample.
    """
    with Recording(parameters) as seen:
        each = losses()
    if each.ndim != 1:
        raise ValueError(f"losses have shape {list(each.shape)}; one number a record is needed")
    if any(use.outputs is not None for use in seen.uses):
        raise NotCovered("the loss takes gradients itself")
    if not each.requires_grad:
        return Recorded({parameter: [] for parameter in parameters}, torch.zeros_like(each))
    stray = torch.autograd.grad(each.sum(), list(parameters), allow_unused=True)
    if any(gradient is not None for gradient in stray):
        raise NotCovered("a parameter is used outside linear maps, convolutions and normalisations")
    slices: dict[nn.Parameter, list[_Part]] = {parameter: [] for parameter in parameters}
    for use in seen.uses:
        if use.outputs is None:
            continue
        for parameter, part in _parts(use):
            slices[parameter].append(part)
    squares = torch.zeros_like(each, requires_grad=False)
    for parts in slices.values():
        if parts and sum(len(part.squares) for part in parts) != len(each):
            raise NotCovered(f"a layer saw other rows than the {len(each)} of the batch, or a weight is used twice")
        if parts:
            squares += torch.cat([part.squares for part in parts])
    return Recorded(slices, squares.clamp_min(0).sqrt())


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
        return _scale(use, x * g, g)
    if use.kind == "linear" and x.ndim == 2:
        return _outer(use, x, g)
    if use.kind == "linear":
        rows = x.flatten(1, -2).transpose(1, 2)
        return _product(use, rows, g.flatten(1, -2).transpose(1, 2))
    assert use.geometry is not None
    stride, padding, dilation, groups = use.geometry
    kernel = (1, 1) if use.weight is None else (use.weight.shape[2], use.weight.shape[3])
    unfolded = functional.unfold(x, kernel, dilation, padding, stride)
    return _product(use, unfolded, g.reshape(len(g), g.shape[1], -1), groups)


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


def _product(use: Use, x: Tensor, g: Tensor, groups: int = 1) -> list[tuple[nn.Parameter, _Part]]:
    """Several positions a sample: inputs [b, I, L] and output gradients [b, O, L]; gradient ``g_i x_i^T`` [O, I].

    In groups, the first of the outputs see the first of the inputs alone, and so on: gradient [O, I / groups].
    """
    found = []
    if use.weight is not None:
        shape = use.weight.shape
        if groups == 1 and 2 * x.shape[2] ** 2 < x.shape[1] * g.shape[1]:
            gram = (x.transpose(1, 2) @ x) * (g.transpose(1, 2) @ g)
            squares = gram.sum(dim=(1, 2))
            part = _Part(squares, lambda c: torch.einsum("b,bol,bil->oi", c, g, x).view(shape))
        else:
            into, out = x.unflatten(1, (groups, -1)), g.unflatten(1, (groups, -1))
            part = _written(torch.matmul(out, into.transpose(2, 3)).flatten(1), shape)
        found.append((use.weight, part))
    if use.bias is not None:
        found.append((use.bias, _written(g.sum(dim=2), use.bias.shape)))
    return found


def _scale(use: Use, product: Tensor, g: Tensor) -> list[tuple[nn.Parameter, _Part]]:
    """A factor and a shift that are the same along some dimensions: gradients are sums over those."""
    along = [dim for dim, size in enumerate(use.spread) if dim and size == 1]
    found = []
    for parameter, each in ((use.weight, product), (use.bias, g)):
        if parameter is not None:
            own = each.sum(dim=along) if along else each
            found.append((parameter, _written(own.flatten(1), parameter.shape)))
    return found


def _written(own: Tensor, shape: torch.Size) -> _Part:
    """Per-sample gradients [b, n] as they are."""
    return _Part(own.square().sum(dim=1), lambda c: (c @ own).view(shape))
