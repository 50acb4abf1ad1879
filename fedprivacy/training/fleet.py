"""Many independent models of one architecture: trained one after the other, or stacked in one computation.

Both ways give the same models up to the rounding of sums. Stacked, a step of M models is one batched product, one
backward pass and one fused optimiser step; that saves the fixed cost of a step, and pays where a step is small beside
it, or on a GPU. Perceptrons whose gradients are written out gain always on a CPU: from 1.1 times for five of
784-256-10 to 4 times for eighty of 64-64-10. What goes through autograd gains up to a size; ``benchmarks/fleet.py``
measures where the border lies.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedprivacy.training.by_hand import Chain, chain, stacked_forward, stacked_gradients
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
from fedprivacy.training.sparse import Sparse, SparseRecords, mostly_zero

FleetLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits [B, C], labels [B], targets [B, ...]) -> scalar; made of operations that ``torch.func.vmap`` knows."""


SMALL = 50_000
"""Parameters up to which stacked models are faster on a CPU."""
ABREAST = 64
"""Models in one stack at most."""


@runtime_checkable
class ToldByTargets(Protocol):
    """A :data:`FleetLoss` of logits and targets alone that tells its own derivative, of many batches."""

    def __call__(self, logits: Tensor, labels: Tensor, targets: Tensor, /) -> Tensor: ...

    def slopes(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Derivatives [M, B, C] of the losses [M] of logits [M, B, C]."""


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
        # So do products of what is not zero, which are taken where all see the same records at the same time.
        seen = self._seen_alike()
        return (self.model, self.bench.config.model_dump_json(), self.epochs, self.loss, sizes, used, seen)

    def _seen_alike(self) -> tuple[Any, ...]:
        """Their common records and order, where these are what decides how products are taken; else nothing."""
        layers, one = chain(self.bench.module(self.model)), self.members[0]
        if layers is None or not _alike(self.members) or not _sparse(one, layers, self.bench.device):
            return ()
        return (hashlib.sha256(one.records.x.tobytes()).digest(), one.seed)


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
    """Whether one computation can train them: as many records each, no buffers, no dropout, nothing guarded, and
    operations that ``torch.func`` maps over models, which recurrent layers are not."""
    random = any(isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p for layer in module.modules())
    sizes = {(member.records.x.shape, member.records.x.dtype) for member in members}
    guarded = any(member.records.guarded for member in members)
    if len(sizes) != 1 or random or guarded or any(True for _ in module.buffers()):
        return False
    return chain(module) is not None or _maps(module, members[0].records)


def _maps(module: nn.Module, records: Records) -> bool:
    """Whether two models can answer two records in one computation."""
    weights = {name: torch.stack([weight, weight]).detach() for name, weight in module.named_parameters()}
    inputs = normalised(torch.from_numpy(records.x[:2]).to(next(module.parameters()).device))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="There is a performance drop")
            vmap(lambda own: functional_call(module, own, (inputs,)))(weights)
    except (RuntimeError, UserWarning):
        return False
    return True


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
        raise ValueError(
            "these members cannot be stacked: records of one size, no buffers, no dropout, and operations that "
            "torch.func maps are needed"
        )
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
    names, layers = list(members[0].weights), chain(module)
    stacks = [torch.stack([member.weights[name] for member in members]).to(device) for name in names]
    x = _inputs([member.records.x for member in members]).to(device)
    alike = layers is not None and _alike(members)
    sparse = layers is not None and alike and _sparse(members[0], layers, device)
    columns = columns.to(device) if columns is not None and layers is not None and len(names) > 2 else None
    starts = stacks if columns is None else [narrowed(stacks[0], columns), *stacks[1:]]
    records = _Batches(x if columns is None else narrowed(x.flatten(2), columns), len(members), alike, sparse)
    if layers is None:
        kept = weights = [one.requires_grad_() for one in starts]
    else:
        kept, weights = _laid_out(starts, sparse)
    optimizer = Optimiser(kept, bench.config)
    y = torch.from_numpy(np.stack([member.records.y for member in members])).to(device)
    targets = y
    if members[0].targets is not None:
        targets = torch.stack([member.targets for member in members if member.targets is not None]).to(device)
    own = torch.arange(len(members), device=device)[:, None]

    gradients = _by_autograd(module, names, loss) if layers is None else _by_hand(loss)
    losses = vmap(loss)
    module.train()
    size = bench.config.batch_size
    together = zip(*(passes(number, size, epochs, member.seed) for member in members), strict=True)
    for passed in together if number else ():
        rows, parts = torch.stack([order for order, _ in passed]).to(device), passed[0][1]
        labels, wanted = y[own, rows], targets[own, rows]
        answers: list[Tensor] = []
        for part, inputs in zip(parts, records.batches(rows, parts), strict=True):
            logits, slopes = gradients(weights, inputs, labels[:, part], wanted[:, part])
            optimizer.apply(slopes if layers is None else [filled(slope) for slope in slopes])
            answers.append(logits)
        total = losses(torch.cat(answers, 1), labels, wanted)
        if not bool(torch.isfinite(total).all()):
            raise Diverged(f"the loss became {float(total.sum())}")
    if columns is not None:
        weights[0] = widened(stacks[0], weights[0], columns)
    final = {name: weight.detach().cpu() for name, weight in zip(names, weights, strict=True)}
    return [{name: final[name][place].clone() for name in names} for place in range(len(members))]


def _alike(members: Sequence[Member]) -> bool:
    """Whether all see the same records at the same time."""
    first = members[0]
    seen = all(one.records.x is first.records.x or np.array_equal(one.records.x, first.records.x) for one in members)
    return seen and len({member.seed for member in members}) == 1


def _sparse(one: Member, layers: Chain, device: torch.device) -> bool:
    """Whether the first layer's products are taken of what is not zero alone."""
    return mostly_zero(one.records.x, layers.layers[0].out_features, device)


def _laid_out(starts: Sequence[Tensor], sparse: bool) -> tuple[list[Tensor], list[Tensor]]:
    """What the optimiser moves, and views of it that are the weights [M, ...].

    Where records are sparse, a first weight lies input by input, and each model's is moved on its own.
    """
    kept = [filled(one) for one in starts]
    weights = [unfilled(one, made.shape[1:]) for one, made in zip(kept, starts, strict=True)]
    if not sparse:
        return kept, weights
    first = starts[0].transpose(1, 2).contiguous()
    return [*first.unbind(), *kept[1:]], [first.transpose(1, 2), *weights[1:]]


class _Batches:
    """Records ``x`` [M, N, ...], or [1, N, ...] the same for all, as M models read them."""

    def __init__(self, x: Tensor, models: int, alike: bool, sparse: bool) -> None:
        self.x = x if len(x) == models else x.expand(models, *x.shape[1:])
        self.alike = alike
        self.sparse = SparseRecords(normalised(x[0]).flatten(1)) if sparse else None
        self.own = torch.arange(models, device=x.device)[:, None]

    def batches(self, rows: Tensor, parts: Sequence[slice]) -> Iterator[Tensor | Sparse]:
        """Inputs [M, B, ...] of each step; ``rows`` [M, N]."""
        if self.sparse is not None:
            yield from self.sparse.batches(rows[0], parts)
            return
        needed = (rows.shape[1] if self.alike else rows.numel()) * self.x[0, 0].numel()
        ready = self._taken(rows) if needed <= AT_ONCE else None
        for part in parts:
            yield self._taken(rows[:, part]) if ready is None else ready[:, part]

    def _taken(self, rows: Tensor) -> Tensor:
        if not self.alike:
            return normalised(self.x[self.own, rows])
        one = normalised(self.x[0, rows[0]])
        return one.expand(len(self.x), *one.shape)


Gradients = Callable[[Sequence[Tensor], Any, Tensor, Tensor], tuple[Tensor, Sequence[Tensor]]]
"""(weights [M, ...], input [M, B, ...], labels [M, B], targets) -> logits [M, B, C], and each weight's gradient."""


def _by_hand(loss: FleetLoss) -> Gradients:
    """Batched products of a perceptron; autograd gives the derivative by the logits, where the loss does not."""
    losses, told = vmap(loss), loss if isinstance(loss, ToldByTargets) else None

    def gradients(
        weights: Sequence[Tensor], inputs: Tensor | Sparse, labels: Tensor, targets: Tensor
    ) -> tuple[Tensor, Sequence[Tensor]]:
        with torch.no_grad():
            seen = stacked_forward(weights, inputs)
        if told is None:
            logits = seen[-1].requires_grad_()
            (slope,) = torch.autograd.grad(losses(logits, labels, targets).sum(), logits)
        else:
            slope = told.slopes(seen[-1], targets)
        with torch.no_grad():
            return seen[-1].detach(), stacked_gradients(weights, slope, seen, inputs)

    return gradients


def _by_autograd(module: nn.Module, names: Sequence[str], loss: FleetLoss) -> Gradients:
    """The module itself, mapped over the models."""

    def one(state: Mapping[str, Tensor], inputs: Tensor, labels: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        logits = functional_call(module, dict(state), (inputs,))
        return loss(logits, labels, wanted), logits

    both = vmap(one)

    def gradients(
        weights: Sequence[Tensor], inputs: Tensor, labels: Tensor, targets: Tensor
    ) -> tuple[Tensor, Sequence[Tensor]]:
        values, logits = both(dict(zip(names, weights, strict=True)), inputs, labels, targets)
        return logits.detach(), torch.autograd.grad(values.sum(), list(weights))

    return gradients


def _inputs(arrays: Sequence[NDArray[Any]]) -> Tensor:
    """[M, N, ...], or [1, N, ...] where all members hold the same records."""
    if all(array is arrays[0] or np.array_equal(array, arrays[0]) for array in arrays):
        return torch.from_numpy(arrays[0])[None]
    return torch.from_numpy(np.stack(arrays))
