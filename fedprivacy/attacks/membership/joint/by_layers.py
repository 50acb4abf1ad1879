"""Per-record gradients from one recorded backward pass, and which parameters it does not tell.

A layer tells of its parameters where its rows are the records of the batch, in their order, whole or in slices. Where a
weight is used several times for a record, its gradients are added. What is used in another way (a recurrent layer, a
computed weight, records along another dimension) it leaves to others: found by shapes, and once a module by holding
sums of all gradients against an ordinary backward pass, as :mod:`fedprivacy.training.attested` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy import seeds
from fedprivacy.attacks.membership.joint.layers import Layer, Outer, Rows, below, records_of
from fedprivacy.training.attested import FAULT
from fedprivacy.training.clipping import NotCovered
from fedprivacy.training.recording import Recording, Use

EXPLICIT = 8192
"""Entries of a dense layer up to which its gradients are kept whole, and so averaged exactly."""
ROOM = 2**30
"""Bytes that whole gradients of one parameter may take; one beyond is left out of the equations."""
TRIFLE = 1e-4
"""Share of the whole gradient below which one parameter's part may be rounding alone."""

Losses = Callable[[Tensor, Tensor], Tensor]
"""(logits [B, C], labels [B]) -> loss of each record [B]."""


@dataclass(frozen=True, eq=False)
class Told:
    """Gradients of a batch by layer; parameters that were ``left_out`` for want of room; those that are used in a way
    that no layer tells (``stray``)."""

    layers: tuple[Layer, ...]
    left_out: tuple[str, ...]
    stray: frozenset[str]


def fits(entries: int) -> bool:
    """Whether so many float32 numbers may be kept of one parameter."""
    return 4 * entries <= ROOM


def by_layers(module: nn.Module, x: Tensor, y: Tensor, losses: Losses, alone: Set[str], number: int) -> Told:
    """Gradients of the parameters that are not ``alone``, of one batch of ``number`` records in all."""
    names = {parameter: name for name, parameter in module.named_parameters()}
    for parameter in names:
        parameter.grad = None
    try:
        with Recording(p for p, name in names.items() if name not in alone) as seen:
            each = losses(module(x), y)
        each.sum().backward()
    except NotCovered:
        return Told((), (), frozenset(names.values()) - alone)
    stray = {name for p, name in names.items() if p.grad is not None}
    for parameter in names:
        parameter.grad = None
    uses = [use for use in seen.uses if use.outputs is not None]
    rows = Counter[nn.Parameter]()
    for use in uses:
        rows.update({p: len(_seen(use)[0]) for p in _used(use)})
    parts: dict[tuple[str | None, ...], list[Layer]] = {}
    left_out: list[str] = []
    for use in uses:
        for layer in _layers(use, names, number, left_out, several=any(rows[p] > len(x) for p in _used(use))):
            parts.setdefault(_names(layer), []).append(layer)
    layers = []
    for key, found in parts.items():
        whole = _of_all(found, len(x))
        if whole is None:
            stray |= {name for name in key if name is not None}
        else:
            layers.append(whole)
    kept = frozenset(names.values()) - stray
    shown = [part for layer in layers if (part := layer.only(kept)) is not None]
    return Told(tuple(shown), tuple(name for name in dict.fromkeys(left_out) if name in kept), frozenset(stray) - alone)


def untold(module: nn.Module, x: Tensor, y: Tensor, losses: Losses) -> frozenset[str]:
    """Parameters of which the layers do not tell, or not the truth, in a batch of at least two records."""
    told = by_layers(module, x, y, losses, frozenset(), len(x))
    names = [name for name, p in module.named_parameters() if p.requires_grad]
    shares = (torch.rand(len(x), generator=seeds.generator(0, "untold", len(x))) + 0.5).to(x)
    ordinary = (shares * losses(module(x), y)).sum()
    parameters = [p for p in module.parameters() if p.requires_grad]
    sums = torch.autograd.grad(ordinary, parameters, allow_unused=True, materialize_grads=True)
    floor = TRIFLE * float(torch.stack([one.norm() for one in sums]).norm())
    given = {name: total for layer in told.layers for name, total in layer.combined(shares).items()}
    wrong = {
        name
        for name, wanted in zip(names, sums, strict=True)
        if name not in told.left_out and _distance(given.get(name), wanted) > FAULT * float(wanted.norm()) + floor
    }
    return told.stray | wrong


def _distance(given: Tensor | None, wanted: Tensor) -> float:
    return float((wanted if given is None else given.reshape(wanted.shape) - wanted).norm())


def _used(use: Use) -> list[nn.Parameter]:
    return [p for p in (use.weight, use.bias) if p is not None]


def _seen(use: Use) -> tuple[Tensor, Tensor]:
    """What went in, and the gradients of what came out."""
    assert use.inputs is not None
    assert use.outputs is not None
    return use.inputs.detach(), use.outputs.detach()


def _names(layer: Layer) -> tuple[str | None, ...]:
    return (layer.weight, layer.bias) if isinstance(layer, Outer) else (layer.name,)


def _of_all(parts: Sequence[Layer], number: int) -> Layer | None:
    """One layer of ``number`` records: slices put below each other, then uses added; None where they do not fit."""
    whole: list[Layer] = []
    slices: list[Layer] = []
    for part in parts:
        slices.append(part)
        if sum(map(records_of, slices)) >= number:
            whole.append(below(slices))
            slices = []
    if slices or any(records_of(one) != number for one in whole):
        return None
    return reduce(lambda one, two: one.plus(two), whole)  # type: ignore[arg-type]


def _layers(
    use: Use, names: Mapping[nn.Parameter, str], number: int, left_out: list[str], several: bool
) -> list[Layer]:
    """Gradients of one use; ``several``: in a form that can be added to those of others."""
    x, g = _seen(use)
    weight = None if use.weight is None else names[use.weight]
    bias = None if use.bias is None else names[use.bias]
    if use.kind == "linear" and x.ndim == 2 and x.shape[1] * g.shape[1] > EXPLICIT and not several:
        return [Outer(x, g, weight, bias)]
    if weight is not None and use.weight is not None and not fits(number * use.weight.numel()):
        left_out.append(weight)
        weight = None
    whole: Tensor | None = None
    if use.kind == "scale":
        along = [dim for dim, size in enumerate(use.spread) if dim and size == 1]
        whole, shift = _summed(x * g, along), _summed(g, along)
    else:
        patches, slopes, groups = _patches(use, x, g)
        shift = slopes.sum(dim=2)
        if weight is not None:
            into, out = patches.unflatten(1, (groups, -1)), slopes.unflatten(1, (groups, -1))
            whole = torch.matmul(out, into.transpose(2, 3)).flatten(1)
    found: list[Layer] = [] if weight is None or whole is None else [Rows(whole, weight)]
    return [*found, Rows(shift, bias)] if bias is not None else found


def _patches(use: Use, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor, int]:
    """What a weight was applied to [b, in, positions], the gradients of what came out [b, out, positions], and in how
    many groups of channels."""
    if use.kind == "linear":
        if x.ndim == 2:
            return x[:, :, None], g[:, :, None], 1
        return x.flatten(1, -2).transpose(1, 2), g.flatten(1, -2).transpose(1, 2), 1
    assert use.geometry is not None
    stride, padding, dilation, groups = use.geometry
    kernel = (1, 1) if use.weight is None else (use.weight.shape[2], use.weight.shape[3])
    return functional.unfold(x, kernel, dilation, padding, stride), g.reshape(len(g), g.shape[1], -1), groups


def _summed(values: Tensor, along: list[int]) -> Tensor:
    return (values.sum(dim=along) if along else values).flatten(1)
