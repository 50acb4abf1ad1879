"""Clipped sums from each record's loss on that record alone: right for any model, whatever its layers do.

Where the recording does not cover a model, ``torch.func`` differentiates the whole of it for all records at once; what
that cannot transform is run record by record. Neither knows anything about layers, so neither can leave one out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from fedprivacy.training.clipping import Batch, Clipped, NotCovered, clip_factors, one_a_record, refuse_hooks

WRITTEN = 2**26
"""Most entries of per-record gradients that are held at once."""


def by_function(batch: Batch, bound: float) -> Clipped:
    """All records at once through ``torch.func``; dropout draws a mask a record.

    Raises NotCovered where a function cannot be transformed, such as one that reads a value out of a tensor.
    """
    refuse_hooks(batch.parameters)
    names = {id(parameter): name for name, parameter in batch.module.named_parameters()}
    chosen = [names[id(parameter)] for parameter in batch.parameters]

    def loss(weights: Mapping[str, Tensor], record: Tensor, position: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        outputs = functional_call(batch.module, dict(weights), (record[None],))
        each = one_a_record(batch.losses(outputs, position[None]), 1)[0]
        return each, (each, outputs[0])

    weights = {name: parameter.detach() for name, parameter in zip(chosen, batch.parameters, strict=True)}
    told, norms = [], []
    total = {parameter: torch.zeros_like(parameter) for parameter in batch.parameters}
    every = vmap(grad(loss, has_aux=True), in_dims=(None, 0, 0), randomness="different")
    rows = max(1, WRITTEN // max(1, sum(parameter.numel() for parameter in batch.parameters)))
    for part in torch.arange(len(batch), device=batch.x.device).split(rows):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="There is a performance drop")
                found, seen = every(weights, batch.x[part], part)
        except (RuntimeError, NotImplementedError) as error:
            raise NotCovered(f"torch.func cannot transform this model: {error}") from error
        own = [found[name].detach() for name in chosen]
        norms.append(torch.stack([g.flatten(1).norm(dim=1) for g in own]).norm(dim=0))
        factors = clip_factors(norms[-1], bound)
        for parameter, g in zip(batch.parameters, own, strict=True):
            total[parameter] += torch.einsum("b,b...->...", factors, g)
        told.append(tuple(tensor.detach() for tensor in seen))
    batch.told = torch.cat([each for each, _ in told]), torch.cat([outputs for _, outputs in told])
    return Clipped(total, torch.cat(norms))


def one_by_one(batch: Batch, bound: float) -> Clipped:
    """A forward and a backward pass a record."""
    told, norms = [], []
    total = {parameter: torch.zeros_like(parameter) for parameter in batch.parameters}
    for position in torch.arange(len(batch), device=batch.x.device).split(1):
        outputs = batch.module(batch.x[position])
        each = one_a_record(batch.losses(outputs, position), 1)
        own = torch.autograd.grad(each.sum(), list(batch.parameters), allow_unused=True, materialize_grads=True)
        norms.append(torch.stack([g.norm() for g in own]).norm())
        for parameter, g in zip(batch.parameters, own, strict=True):
            total[parameter] += g * clip_factors(norms[-1], bound)
        told.append((each.detach(), outputs.detach()))
    batch.told = torch.cat([each for each, _ in told]), torch.cat([outputs for _, outputs in told])
    return Clipped(total, torch.stack(norms))
