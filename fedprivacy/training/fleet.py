"""Many independent models of one architecture: trained one after the other, or stacked in one computation.

Both ways give the same models up to the rounding of sums. Stacked, a step of M models is one batched product, one
backward pass and one fused optimiser step; that saves the fixed cost of a step, and pays where a step is small beside
it, or on a GPU. A model of the size of 784-256-10 is faster alone on a CPU: its weights, gradients and moments stay
in the cache. ``benchmarks/fleet.py`` measures where the border lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedprivacy.training.learner import (
    Diverged,
    Loss,
    Records,
    Seed,
    Workbench,
    normalised,
)
from fedprivacy.training.optimiser import Optimiser
from fedprivacy.training.passes import passes

FleetLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits [B, C], labels [B], targets [B, ...]) -> scalar; made of operations that ``torch.func.vmap`` knows."""

SMALL = 50_000
"""Parameters up to which stacked models are faster on a CPU."""
ABREAST = 64
"""Models in one stack at most."""


@dataclass(frozen=True, eq=False)
class Member:
    """One model of a fleet: where it starts, what it learns from, and the seed of its order of batches.

    ``targets`` [N, ...] are given to the loss row by row; without any, the loss gets the labels once more.
    """

    weights: Mapping[str, Tensor]
    records: Records
    seed: Seed
    targets: Tensor | None = None


def pays(module: nn.Module, device: torch.device) -> bool:
    """Whether stacked models of this architecture train faster than one after the other."""
    if device.type != "cpu":
        return True
    grouped = any(isinstance(layer, torch.nn.modules.conv._ConvNd) for layer in module.modules())
    return not grouped and sum(weight.numel() for weight in module.parameters()) <= SMALL


def can_stack(module: nn.Module, members: Sequence[Member]) -> bool:
    """Whether one computation can train them: as many records each, no buffers, no dropout, nothing guarded."""
    random = any(isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p for layer in module.modules())
    sizes = {(member.records.x.shape, member.records.x.dtype) for member in members}
    guarded = any(member.records.guarded for member in members)
    return len(sizes) == 1 and not random and not guarded and not any(True for _ in module.buffers())


def train_fleet(
    bench: Workbench,
    model: str,
    members: Sequence[Member],
    epochs: int,
    loss: FleetLoss,
    stacked: bool | None = None,
) -> list[dict[str, Tensor]]:
    """Train every member for ``epochs`` passes with a fresh optimiser; the weights of each, in order.

    ``stacked``: None lets :func:`pays` and :func:`can_stack` choose. Raises :class:`Diverged` on a loss that is not
    finite, and ValueError where stacking is asked for and not possible.
    """
    module = bench.module(model)
    if stacked and not can_stack(module, members):
        raise ValueError("these members cannot be stacked: records of one size, no buffers and no dropout are needed")
    if stacked is None:
        stacked = len(members) > 1 and pays(module, bench.device) and can_stack(module, members)
    if not stacked:
        return [_alone(bench, model, member, epochs, loss) for member in members]
    found: list[dict[str, Tensor]] = []
    for start in range(0, len(members), ABREAST):
        found += _stacked(bench, module, members[start : start + ABREAST], epochs, loss)
    return found


def _alone(bench: Workbench, model: str, member: Member, epochs: int, loss: FleetLoss) -> dict[str, Tensor]:
    learner = bench.learner(model, member.weights)
    learner.fit(member.records, epochs, member.seed, _by_rows(loss, member.targets, bench.device))
    return learner.weights()


def _by_rows(loss: FleetLoss, targets: Tensor | None, device: torch.device) -> Loss:
    if targets is None:
        return lambda logits, labels, rows: loss(logits, labels, labels)
    there = targets.to(device)
    return lambda logits, labels, rows: loss(logits, labels, there[rows])


def _stacked(
    bench: Workbench, module: nn.Module, members: Sequence[Member], epochs: int, loss: FleetLoss
) -> list[dict[str, Tensor]]:
    device, number = bench.device, len(members[0].records)
    names = list(members[0].weights)
    weights: dict[str, Tensor] = {
        name: torch.stack([member.weights[name] for member in members]).to(device).requires_grad_() for name in names
    }
    optimizer = Optimiser(weights.values(), bench.config)
    x = _inputs([member.records.x for member in members]).to(device)
    y = torch.from_numpy(np.stack([member.records.y for member in members])).to(device)
    targets = y
    if members[0].targets is not None:
        targets = torch.stack([member.targets for member in members if member.targets is not None]).to(device)
    own = torch.arange(len(members), device=device)[:, None]

    def one(state: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
        return loss(functional_call(module, dict(state), (inputs,)), labels, wanted)

    losses = vmap(one)
    module.train()
    size = bench.config.batch_size
    together = zip(*(passes(number, size, epochs, member.seed) for member in members), strict=True)
    for passed in together if number else ():
        rows = torch.stack([order for order, _ in passed]).to(device)
        total = torch.zeros(len(members), device=device)
        for part in passed[0][1]:
            chosen = rows[:, part]
            values = losses(weights, normalised(x[own, chosen]), y[own, chosen], targets[own, chosen])
            optimizer.apply(torch.autograd.grad(values.sum(), optimizer.parameters))
            total += values.detach()
        if not bool(torch.isfinite(total).all()):
            raise Diverged(f"the loss became {float(total.sum())}")
    final = {name: weight.detach().cpu() for name, weight in weights.items()}
    return [{name: final[name][place].clone() for name in names} for place in range(len(members))]


def _inputs(arrays: Sequence[NDArray[Any]]) -> Tensor:
    """[M, N, ...]; without copies where all members hold the same array."""
    if all(array is arrays[0] for array in arrays):
        return torch.from_numpy(arrays[0]).expand(len(arrays), *arrays[0].shape)
    return torch.from_numpy(np.stack(arrays))
