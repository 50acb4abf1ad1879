"""Layers that know four passes: forward, backward, and the tangents of both along a direction in the weights.

For every independent problem p the client's gradient is ``G_p = d/dtheta mean_b CE(f(theta, x_pb), t_pb)``. A matching
attack needs G and, for some direction V of the same shape, ``d/dx <G(x), V>``. That mixed derivative is the tangent,
along V in the weights, of ordinary backpropagation (Pearlmutter 1994, "Fast exact multiplication by the Hessian"):
one tangent forward and one tangent backward pass, no graph of a graph. Convolutions become matrix products over
unfolded patches, which all passes share; the weights of a direction differ from problem to problem.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

Curve = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""``z -> (f(z), f'(z), f''(z))``."""


class Step(Protocol):
    """One layer over N = problems x records rows. ``sizes``: numbers of its weight and bias values, if any.

    ``delta`` is a derivative in the layer's output, ``*_dot`` a tangent (None: zero), ``v`` the direction's slices
    [P, size].
    """

    sizes: tuple[int, ...]

    def forward(self, h: Tensor) -> Tensor: ...
    def backward(self, delta: Tensor) -> Tensor: ...
    def parameter_gradients(self, delta: Tensor, problems: int) -> list[Tensor]: ...
    def tangent(self, h_dot: Tensor | None, v: list[Tensor], records: int) -> Tensor | None: ...
    def tangent_backward(self, delta: Tensor, delta_dot: Tensor, v: list[Tensor], records: int) -> Tensor: ...


def _per_record(v: Tensor, records: int) -> Tensor:
    return v if records == 1 else v.repeat_interleave(records, 0)


def _per_problem(g: Tensor, problems: int) -> Tensor:
    return g.flatten(1) if g.shape[0] == problems else g.unflatten(0, (problems, -1)).sum(1).flatten(1)


def _columns_of(delta: Tensor) -> Tensor:
    return delta.flatten(2) if delta.dim() > 2 else delta.unsqueeze(2)


class Affine:
    """A linear layer [N, in] -> [N, out]; a convolution once ``unfold`` and ``fold`` say how to cut patches."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self.weight = weight.detach().flatten(1)
        self.bias = self.weight.new_zeros(len(weight), 1) if bias is None else bias.detach()[:, None]
        self.sizes: tuple[int, ...] = (weight.numel(), *(() if bias is None else (bias.numel(),)))

    def unfold(self, h: Tensor) -> Tensor:
        """Input as patches [N, K, T]."""
        if h.dim() != 2:
            raise ValueError(f"a linear layer of the chain needs flat input, got {tuple(h.shape)}.")
        return h.unsqueeze(2)

    def fold(self, patches: Tensor) -> Tensor:
        """The adjoint of ``unfold``."""
        return patches.squeeze(2)

    def shaped(self, z: Tensor) -> Tensor:
        """[N, out, T] as the layer's output."""
        return z.squeeze(2)

    def _weights(self, rows: int) -> Tensor:
        return self.weight.expand(rows, *self.weight.shape)

    def forward(self, h: Tensor) -> Tensor:
        self.patches = self.unfold(h)
        return self.shaped(torch.baddbmm(self.bias, self._weights(h.shape[0]), self.patches))

    def backward(self, delta: Tensor) -> Tensor:
        return self.fold(torch.bmm(self._weights(delta.shape[0]).mT, _columns_of(delta)))

    def parameter_gradients(self, delta: Tensor, problems: int) -> list[Tensor]:
        columns = _columns_of(delta)
        if columns.shape[2] == 1:  # the records of a problem are summed in the product: none has a matrix of its own
            left, right = (part.squeeze(2).unflatten(0, (problems, -1)) for part in (columns, self.patches))
            found = [torch.bmm(left.mT, right).flatten(1)]
        else:
            found = [_per_problem(torch.bmm(columns, self.patches.mT), problems)]
        if len(self.sizes) > 1:
            found.append(_per_problem(columns.sum(2), problems))
        return found

    def _direction(self, v: list[Tensor], records: int) -> Tensor:
        return _per_record(v[0].unflatten(1, self.weight.shape), records)

    def tangent(self, h_dot: Tensor | None, v: list[Tensor], records: int) -> Tensor:
        z = torch.bmm(self._direction(v, records), self.patches)
        if len(v) > 1:
            z += _per_record(v[1], records)[:, :, None]
        if h_dot is not None:
            z.baddbmm_(self._weights(z.shape[0]), self.unfold(h_dot))
        return self.shaped(z)

    def tangent_backward(self, delta: Tensor, delta_dot: Tensor, v: list[Tensor], records: int) -> Tensor:
        both = torch.cat([_columns_of(delta), _columns_of(delta_dot)], 1)
        weights = torch.cat([self._direction(v, records), self._weights(both.shape[0])], 1)
        return self.fold(torch.bmm(weights.mT, both))


class Convolution(Affine):
    """A two-dimensional convolution without dilation and groups; stride and padding as pairs."""

    def __init__(self, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: tuple[int, int]) -> None:
        super().__init__(weight, bias)
        self.kernel, self.stride, self.padding = (weight.shape[2], weight.shape[3]), stride, padding

    def unfold(self, h: Tensor) -> Tensor:
        self.size = (h.shape[2], h.shape[3])
        (kh, kw), (sh, sw), (ph, pw) = self.kernel, self.stride, self.padding
        patches = F.pad(h, (pw, pw, ph, ph)).unfold(2, kh, sh).unfold(3, kw, sw)
        self.grid = (patches.shape[2], patches.shape[3])
        return patches.permute(0, 1, 4, 5, 2, 3).reshape(h.shape[0], h.shape[1] * kh * kw, -1)

    def fold(self, patches: Tensor) -> Tensor:
        image: Tensor = F.fold(patches, self.size, self.kernel, padding=self.padding, stride=self.stride)
        return image

    def shaped(self, z: Tensor) -> Tensor:
        image: Tensor = z.unflatten(2, self.grid)
        return image


class Pointwise:
    """An activation."""

    sizes: tuple[int, ...] = ()

    def __init__(self, curve: Curve) -> None:
        self.curve = curve

    def forward(self, h: Tensor) -> Tensor:
        value, self.slope, self.bend = self.curve(h)
        return value

    def backward(self, delta: Tensor) -> Tensor:
        return delta * self.slope

    def parameter_gradients(self, delta: Tensor, problems: int) -> list[Tensor]:
        return []

    def tangent(self, h_dot: Tensor | None, v: list[Tensor], records: int) -> Tensor | None:
        self.h_dot = h_dot
        return None if h_dot is None else h_dot * self.slope

    def tangent_backward(self, delta: Tensor, delta_dot: Tensor, v: list[Tensor], records: int) -> Tensor:
        through = delta_dot * self.slope
        return through if self.h_dot is None else through.addcmul_(delta * self.bend, self.h_dot)


class Reshape:
    """Flattens everything but the first axis. Also the frame of the other layers without weights."""

    sizes: tuple[int, ...] = ()

    def forward(self, h: Tensor) -> Tensor:
        self.size = h.shape[1:]
        return self.push(h)

    def push(self, h: Tensor) -> Tensor:
        """The layer as a linear map, once ``forward`` has fixed it: what a tangent goes through."""
        return h.flatten(1)

    def backward(self, delta: Tensor) -> Tensor:
        return delta.reshape(delta.shape[0], *self.size)

    def parameter_gradients(self, delta: Tensor, problems: int) -> list[Tensor]:
        return []

    def tangent(self, h_dot: Tensor | None, v: list[Tensor], records: int) -> Tensor | None:
        return None if h_dot is None else self.push(h_dot)

    def tangent_backward(self, delta: Tensor, delta_dot: Tensor, v: list[Tensor], records: int) -> Tensor:
        return self.backward(delta_dot)


class OneLogit(Reshape):
    """One logit z as the two logits (0, z)."""

    def push(self, h: Tensor) -> Tensor:
        return F.pad(h, (1, 0))

    def backward(self, delta: Tensor) -> Tensor:
        return delta[:, 1:]


class Pool(Reshape):
    """Average or maximum over tiles that do not overlap; what does not fill a tile is dropped."""

    def __init__(self, kernel: tuple[int, int], largest: bool) -> None:
        self.kernel, self.largest = kernel, largest

    def _tiles(self, h: Tensor) -> Tensor:
        (kh, kw), (height, width) = self.kernel, (h.shape[2], h.shape[3])
        whole: Tensor = h[:, :, : height - height % kh, : width - width % kw]
        tiles: Tensor = whole.unflatten(3, (-1, kw)).unflatten(2, (-1, kh)).transpose(3, 4).flatten(4)
        return tiles

    def forward(self, h: Tensor) -> Tensor:
        self.size = h.shape[1:]
        tiles = self._tiles(h)
        self.share = torch.full_like(tiles, 1 / tiles.shape[4])
        if self.largest:
            self.share = torch.zeros_like(tiles).scatter_(4, tiles.argmax(4, keepdim=True), 1)
        return (tiles * self.share).sum(4)

    def push(self, h: Tensor) -> Tensor:
        return (self._tiles(h) * self.share).sum(4)

    def backward(self, delta: Tensor) -> Tensor:
        tiles = (delta.unsqueeze(4) * self.share).unflatten(4, self.kernel)
        whole = tiles.transpose(3, 4).flatten(4, 5).flatten(2, 3)
        image = delta.new_zeros(delta.shape[0], *self.size)
        image[:, :, : whole.shape[2], : whole.shape[3]] = whole
        return image
