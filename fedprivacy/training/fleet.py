"""Many independent models of one architecture: trained one after the other, or stacked in one computation.

Both ways give the same models up to the rounding of sums. Stacked, a step of M models is one batched product, one
backward pass and one fused optimiser step; that saves the fixed cost of a step, and pays where a step is small beside
it, or on a GPU. Perceptrons whose gradients are written out gain always on a CPU: from 1.1 times for five of
784-256-10 to 4 times for eighty of 64-64-10. What goes through autograd gains up to a size; ``benchmarks/fleet.py``
measures where the border lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedprivacy.training.by_hand import chain, stacked_forward, stacked_gradients
from fedprivacy.training.learner import (
    AT_ONCE,
    Diverged,
    Loss,
    Records,
    Seed,
    Workbench,
    normalised,
)
from fedprivacy.training.narrow import columns_in_use, narrowed, widened
from fedprivacy.training.optimiser import Optimiser, filled, unfilled
from fedprivacy.training.passes import passes

FleetLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits [B, C], labels [B], targets [B, ...]) -> scalar; made of operations that ``torch.func.vmap`` knows."""


SMALL = 50_000
"""Parameters up to which stacked models are faster on a CPU."""
ABREAST = 64
"""Models in one stack at most."""


@runtime_checkable
class ToldByTargets(Protocol):
    """A :data:`FleetLoss` of logits and targets alone that tells its own derivative."""

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor, /) -> Tensor: ...

    def slopes(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Losses [M] of logits [M, B, C], and their derivatives [M, B, C]."""


@dataclass(frozen=True, eq=False)
class Member:
    """One model of a fleet: where it starts, what it learns from, and the seed of its order of batches.

    ``targets`` [N, ...] are given to the loss row by row; without any, the loss gets the labels once more.
    """

    weights: Mapping[str, Tensor]
    records: Records
    seed: Seed
    targets: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Fleet:
    """One call of :func:`train_fleet` that leaves the choice open."""

    bench: Workbench
    model: str
    members: Sequence[Member]
    epochs: int
    loss: FleetLoss

    @property
    def together(self) -> tuple[Any, ...]:
        """What those have in common that are trained at once."""
        sizes = frozenset((one.records.x.shape, one.records.x.dtype, one.targets is None) for one in self.members)
        # Which columns are left out moves the rounding, so it must not hang on who stands beside.
        columns = columns_in_use([one.records.x for one in self.members], self.bench.config)
        used = None if columns is None else tuple(columns.tolist())
        return (self.model, self.bench.config.model_dump_json(), self.epochs, self.loss, sizes, used)


def trained_abreast(fleets: Sequence[Fleet]) -> list[list[dict[str, Tensor]] | Diverged]:
    """Fleets that are equal in :attr:`Fleet.together`, as one; in turn where one diverges, to tell which."""
    first, members = fleets[0], [member for fleet in fleets for member in fleet.members]
    try:
        trained = iter(_chosen(first.bench, first.model, members, first.epochs, first.loss))
        return [list(islice(trained, len(fleet.members))) for fleet in fleets]
    except Diverged as error:
        return [error] if len(fleets) == 1 else [found for one in fleets for found in trained_abreast([one])]


def pays(module: nn.Module, device: torch.device) -> bool:
    """Whether stacked models of this architecture train faster than one after the other."""
    if device.type != "cpu" or chain(module) is not None:
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
    if stacked is None and bench.together is not None:
        return bench.together.fleet(Fleet(bench, model, members, epochs, loss))
    return _chosen(bench, model, members, epochs, loss, stacked)


def _chosen(
    bench: Workbench,
    model: str,
    members: Sequence[Member],
    epochs: int,
    loss: FleetLoss,
    stacked: bool | None = None,
) -> list[dict[str, Tensor]]:
    module = bench.module(model)
    if stacked and not can_stack(module, members):
        raise ValueError("these members cannot be stacked: records of one size, no buffers and no dropout are needed")
    if stacked is None:
        stacked = len(members) > 1 and pays(module, bench.device) and can_stack(module, members)
    if not stacked:
        return [_alone(bench, model, member, epochs, loss) for member in members]
    columns = columns_in_use([one.records.x for one in members], bench.config)
    found: list[dict[str, Tensor]] = []
    for start in range(0, len(members), ABREAST):
        found += _stacked(bench, module, members[start : start + ABREAST], epochs, loss, columns)
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
    bench: Workbench,
    module: nn.Module,
    members: Sequence[Member],
    epochs: int,
    loss: FleetLoss,
    columns: Tensor | None,
) -> list[dict[str, Tensor]]:
    device, number = bench.device, len(members[0].records)
    names, hand = list(members[0].weights), chain(module) is not None
    stacks = [torch.stack([member.weights[name] for member in members]).to(device) for name in names]
    x = _inputs([member.records.x for member in members]).to(device)
    alike = hand and len(x) == 1 and len({member.seed for member in members}) == 1
    columns = columns.to(device) if columns is not None and hand and len(names) > 2 else None
    starts = stacks if columns is None else [narrowed(stacks[0], columns), *stacks[1:]]
    x = x if columns is None else narrowed(x.flatten(2), columns)
    x = x if len(x) == len(members) else x.expand(len(members), *x.shape[1:])
    kept = [filled(one) if hand else one.requires_grad_() for one in starts]
    weights = [unfilled(one, made.shape[1:]) if hand else one for one, made in zip(kept, starts, strict=True)]
    optimizer = Optimiser(kept, bench.config)
    y = torch.from_numpy(np.stack([member.records.y for member in members])).to(device)
    targets = y
    if members[0].targets is not None:
        targets = torch.stack([member.targets for member in members if member.targets is not None]).to(device)
    own = torch.arange(len(members), device=device)[:, None]

    gradients = _by_hand(loss) if hand else _by_autograd(module, names, loss)
    module.train()
    size = bench.config.batch_size
    together = zip(*(passes(number, size, epochs, member.seed) for member in members), strict=True)
    for passed in together if number else ():
        rows = torch.stack([order for order, _ in passed]).to(device)
        total = torch.zeros(len(members), device=device)
        labels, wanted = y[own, rows], targets[own, rows]

        def taken(part: slice, rows: Tensor = rows) -> Tensor:
            if alike:  # all members see the same records at the same time
                one = normalised(x[0, rows[0, part]])
                return one.expand(len(members), *one.shape)
            return normalised(x[own, rows[:, part]])

        needed = (number if alike else rows.numel()) * x[0, 0].numel()
        ready = taken(slice(None)) if needed <= AT_ONCE else None
        for part in passed[0][1]:
            inputs = taken(part) if ready is None else ready[:, part]
            values, slopes = gradients(weights, inputs, labels[:, part], wanted[:, part])
            optimizer.apply([filled(slope) for slope in slopes] if hand else slopes)
            total += values
        if not bool(torch.isfinite(total).all()):
            raise Diverged(f"the loss became {float(total.sum())}")
    if columns is not None:
        weights[0] = widened(stacks[0], weights[0], columns)
    final = {name: weight.detach().cpu() for name, weight in zip(names, weights, strict=True)}
    return [{name: final[name][place].clone() for name in names} for place in range(len(members))]


Gradients = Callable[[Sequence[Tensor], Tensor, Tensor, Tensor], tuple[Tensor, Sequence[Tensor]]]
"""(weights [M, ...], input [M, B, ...], labels [M, B], targets) -> losses [M], and the gradient of each weight."""


def _by_hand(loss: FleetLoss) -> Gradients:
    """Batched products of a perceptron; autograd gives the derivative by the logits, where the loss does not."""
    losses = vmap(loss)

    def gradients(
        weights: Sequence[Tensor], inputs: Tensor, labels: Tensor, targets: Tensor
    ) -> tuple[Tensor, Sequence[Tensor]]:
        with torch.no_grad():
            seen = stacked_forward(weights, inputs)
            if isinstance(loss, ToldByTargets):
                values, slope = loss.slopes(seen[-1], targets)
                return values, stacked_gradients(weights, slope, seen)
        logits = seen[-1].requires_grad_()
        values = losses(logits, labels, targets)
        (slope,) = torch.autograd.grad(values.sum(), logits)
        with torch.no_grad():
            return values.detach(), stacked_gradients(weights, slope, seen)

    return gradients


def _by_autograd(module: nn.Module, names: Sequence[str], loss: FleetLoss) -> Gradients:
    """The module itself, mapped over the models."""

    def one(state: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
        return loss(functional_call(module, dict(state), (inputs,)), labels, wanted)

    losses = vmap(one)

    def gradients(
        weights: Sequence[Tensor], inputs: Tensor, labels: Tensor, targets: Tensor
    ) -> tuple[Tensor, Sequence[Tensor]]:
        values = losses(dict(zip(names, weights, strict=True)), inputs, labels, targets)
        return values.detach(), torch.autograd.grad(values.sum(), list(weights))

    return gradients


def _inputs(arrays: Sequence[NDArray[Any]]) -> Tensor:
    """[M, N, ...], or [1, N, ...] where all members hold the same records."""
    if all(array is arrays[0] or np.array_equal(array, arrays[0]) for array in arrays):
        return torch.from_numpy(arrays[0])[None]
    return torch.from_numpy(np.stack(arrays))
