"""Per-record gradients of a model, layer by layer, averaged over points of a path; inner products without the whole.

A dense layer's gradient is the outer product of the gradient of its output and its input, so a Gram matrix over n
records is ``(A A' + 1) o (D D')`` and never needs the n gradients themselves. Everything else (convolutions by unfolded
patches, normalisations, small dense layers) is kept as one row a record. Over several points of a path the two factors
of an outer product are averaged apart: exact where either stays the same, as the input of a first layer does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from fedprivacy.attacks.membership.joint.layers import Layer, Outer, Rows, below, records_of
from fedprivacy.training.recording import Recording, Use

EXPLICIT = 8192
"""Entries of a dense layer up to which its gradients are kept whole, and so averaged exactly."""
ROWS = 256
"""Records of one forward and backward pass."""
BLOCK = 2048
"""Rows of a Gram matrix that are made at once."""
MANY = 3000
"""Records up to which a Gram matrix is kept in float64."""
ROOM = 2**30
"""Bytes that whole gradients of one layer may take; a layer beyond is left out of the equations."""

Losses = Callable[[Tensor, Tensor], Tensor]
"""(logits [B, C], labels [B]) -> loss of each record [B]."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """Per-record gradients [n, parameters] of one model, layer by layer; they can be added."""

    layers: tuple[Layer, ...]
    left_out: tuple[str, ...] = ()
    """Parameters without gradients here, because they would take too much room."""

    def gram(self, other: Gradients | None = None) -> Tensor:
        """Inner products [n, n] with all of ``other`` of the same parameters, None: with these: float64, or float32
        where there are more than :data:`MANY` records."""
        number = len(self)
        found = torch.zeros(number, number, dtype=torch.float64 if number <= MANY else torch.float32)
        for layer, against in zip(self.layers, (other or self).layers, strict=True):
            for first in range(0, number, BLOCK):
                some = slice(first, first + BLOCK)
                found[some] += layer.some(some).gram(against).to(found)  # type: ignore[arg-type]
        return found

    def __len__(self) -> int:
        return records_of(self.layers[0])

    def inner(self, change: Mapping[str, Tensor]) -> Tensor:
        """Inner products [n] with one change of weights."""
        return torch.stack([layer.inner(change) for layer in self.layers]).sum(dim=0).cpu()

    def combined(self, by: Tensor) -> dict[str, Tensor]:
        """The sum of all gradients, each times its entry of ``by`` [n], by parameter."""
        return {name: total for layer in self.layers for name, total in layer.combined(by).items()}

    def only(self, names: frozenset[str]) -> Gradients:
        """The gradients of some parameters alone."""
        kept = [part for layer in self.layers if (part := layer.only(names)) is not None]
        return Gradients(tuple(kept), tuple(name for name in self.left_out if name in names))

    def scaled(self, by: Mapping[str, Tensor]) -> Gradients:
        """Each gradient times ``by``; that of a large dense layer in the form of :func:`split`."""
        return Gradients(tuple(part for layer in self.layers for part in layer.scaled(by)), self.left_out)

    def plus(self, other: Gradients) -> Gradients:
        """The sum, factor by factor."""
        pairs = zip(self.layers, other.layers, strict=True)
        return Gradients(tuple(one.plus(two) for one, two in pairs), self.left_out)  # type: ignore[arg-type]

    def over(self, number: int) -> Gradients:
        """Divided by ``number``, on the CPU."""
        return Gradients(tuple(layer.over(number) for layer in self.layers), self.left_out)


def gradients(module: nn.Module, x: Tensor, y: Tensor, losses: Losses) -> Gradients:
    """Gradients of ``losses`` at the module's present weights, in inference mode, of records ``x`` [n, ...], ``y`` [n].

    A parameter that is used in a way that the recording does not know is differentiated record by record.
    """
    module.eval()
    names = {parameter: name for name, parameter in module.named_parameters()}
    found = [_batch(module, x[i : i + ROWS], y[i : i + ROWS], losses, names, len(x)) for i in range(0, len(x), ROWS)]
    return stacked(found)


def _batch(
    module: nn.Module, x: Tensor, y: Tensor, losses: Losses, names: Mapping[nn.Parameter, str], number: int
) -> Gradients:
    for parameter in names:
        parameter.grad = None
    with Recording(names) as seen:
        each = losses(module(x), y)
    each.sum().backward()
    stray = {names[p]: p for p in names if p.grad is not None}
    for parameter in stray.values():
        parameter.grad = None
    slices: dict[tuple[str | None, str | None], list[Layer]] = {}
    left_out: list[str] = []
    for use in seen.uses:
        if use.outputs is None:
            continue
        for layer in _layers(use, names, number, left_out):
            key = (layer.weight, layer.bias) if isinstance(layer, Outer) else (layer.name, None)
            slices.setdefault(key, []).append(layer)
    layers = [below(parts) for parts in slices.values()]
    if any(records_of(layer) != len(x) for layer in layers):
        raise ValueError("a weight is used more than once for a record, which these gradients do not cover")
    if stray:
        layers += _record_by_record(module, x, y, losses, stray)
    return Gradients(tuple(layers), tuple(dict.fromkeys(left_out)))


def _layers(use: Use, names: Mapping[nn.Parameter, str], number: int, left_out: list[str]) -> list[Layer]:
    x, g = use.inputs, use.outputs
    assert x is not None
    assert g is not None
    x, g = x.detach(), g.detach()
    weight = None if use.weight is None else names[use.weight]
    bias = None if use.bias is None else names[use.bias]
    if use.kind == "linear" and x.ndim == 2 and x.shape[1] * g.shape[1] > EXPLICIT:
        return [Outer(x, g, weight, bias)]
    whole: Tensor | None
    if use.kind == "scale":
        whole, shift = _over_positions(x * g), _over_positions(g)
    else:
        patches, slopes = _patches(use, x, g)
        shift = slopes.sum(dim=2)
        if weight is not None and 4 * number * patches.shape[1] * slopes.shape[1] > ROOM:
            left_out.append(weight)
            weight = None
        whole = None if weight is None else torch.bmm(slopes, patches.transpose(1, 2)).flatten(1)
    found: list[Layer] = []
    if weight is not None and whole is not None:
        found.append(Rows(whole, weight))
    return [*found, Rows(shift, bias)] if bias is not None else found


def _patches(use: Use, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """What a weight was applied to [b, in, positions], and the gradients of what came out [b, out, positions]."""
    if use.kind == "linear":
        if x.ndim == 2:
            return x[:, :, None], g[:, :, None]
        return x.flatten(1, -2).transpose(1, 2), g.flatten(1, -2).transpose(1, 2)
    assert use.geometry is not None
    stride, padding, dilation, groups = use.geometry
    if groups != 1:
        raise ValueError("gradients of grouped convolutions are not covered")
    kernel = (1, 1) if use.weight is None else (use.weight.shape[2], use.weight.shape[3])
    return functional.unfold(x, kernel, dilation, padding, stride), g.reshape(len(g), g.shape[1], -1)


def _over_positions(values: Tensor) -> Tensor:
    return values.flatten(2).sum(dim=2) if values.ndim > 2 else values


def _record_by_record(
    module: nn.Module, x: Tensor, y: Tensor, losses: Losses, stray: Mapping[str, nn.Parameter]
) -> list[Layer]:
    fixed = {name: t.detach() for name, t in (*module.named_parameters(), *module.named_buffers())}

    def loss(some: Mapping[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(module, {**fixed, **some}, (one[None],))
        return losses(logits, label[None])[0]

    found = vmap(grad(loss), in_dims=(None, 0, 0))({name: p.detach() for name, p in stray.items()}, x, y)
    return [Rows(values.flatten(1), name) for name, values in found.items()]


def stacked(found: Sequence[Gradients]) -> Gradients:
    """The gradients of several sets of records, one below the other."""
    layers = [below(parts) for parts in zip(*(one.layers for one in found), strict=True)]
    return Gradients(tuple(layers), found[0].left_out)
