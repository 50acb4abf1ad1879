"""The mutants: each a function that takes the place of one of the library's, and the game that it is planted in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import torch
from games import CANARY, CLASSES, FEATURES, OTHERS, Game, aggregate, line, predictions, training, updates
from torch import Tensor
from torch.nn import functional

from fedprivacy.defenses import matrices
from fedprivacy.defenses import updates as client
from fedprivacy.defenses.dp_fedavg import DpFedAvg, DpFedAvgAggregate
from fedprivacy.training import dp_sgd
from fedprivacy.training.clipping import Batch, Clipped, clip_factors
from fedprivacy.training.engines import Engines

WHOLE = Engines.clipped
Planted = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Mutant:
    """``planted`` breaks the library while ``game`` is played; ``what`` it does, in words."""

    name: str
    what: str
    game: Game
    planted: Planted
    calls: int = 2_000


def replaced(owner: object, name: str, by: object) -> Planted:
    return lambda: patch.object(owner, name, by)


def unclipped(self: Engines, batch: Batch, bound: float) -> Clipped:
    return WHOLE(self, batch, float("inf"))


def after_averaging(self: Engines, batch: Batch, bound: float) -> Clipped:
    """The mean is clipped and not what goes into it."""
    found = WHOLE(self, batch, float("inf"))
    norm = torch.stack([total.norm() for total in found.total.values()]).norm() / max(1, len(batch))
    return Clipped(
        {p: total * min(1.0, bound / max(float(norm), 1e-12)) for p, total in found.total.items()}, found.norms
    )


def apart(batch: Batch) -> Tensor:
    """Gradients [B, ...] of every record's loss in one common graph."""
    losses = batch.losses(batch.module(batch.x), torch.arange(len(batch)))
    return torch.stack([torch.autograd.grad(one, batch.parameters[0], retain_graph=True)[0] for one in losses])


def summed(batch: Batch, rows: Tensor, bound: float) -> Clipped:
    norms = rows.flatten(1).norm(dim=1)
    batch.told = torch.zeros(len(batch)), batch.module(batch.x).detach()
    return Clipped({batch.parameters[0]: torch.einsum("b,b...->...", clip_factors(norms, bound), rows)}, norms)


def merged(self: Engines, batch: Batch, bound: float) -> Clipped:
    """Gradients of private and public rows are added row by row, and each sum is clipped as one record's."""
    public = replace(batch, x=torch.from_numpy(RAMP.x), losses=of_labels(torch.from_numpy(RAMP.y)))
    own, other = apart(batch), apart(public)
    rows = other.clone()
    rows[: len(own)] += own
    return summed(batch, rows, bound)


def of_labels(labels: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda logits, at: functional.cross_entropy(logits, labels[at], reduction="none")


def by_batch(self: Engines, batch: Batch, bound: float) -> Clipped:
    """Inputs are centred by the mean of their batch, as batch normalisation does."""
    return summed(batch, apart(replace(batch, x=batch.x - batch.x.mean(dim=0))), bound)


def by_teacher(self: Engines, batch: Batch, bound: float) -> Clipped:
    """Learns from a model that was trained on the same records without noise, instead of from labels."""
    labels = torch.tensor(
        [int(batch.losses(torch.tensor([[9.0, -9.0]]), torch.tensor([i])) > 1) for i in range(len(batch))]
    )
    weight = torch.zeros(CLASSES, FEATURES, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.01)
    for _ in range(20):
        optimizer.zero_grad()
        functional.cross_entropy(batch.x @ weight.T, labels).backward()
        optimizer.step()
    told = (batch.x @ weight.detach().T).softmax(dim=1)
    taught = replace(batch, losses=lambda logits, at: functional.cross_entropy(logits, told[at], reduction="none"))
    return summed(batch, apart(taught), bound)


def of_the_mean(total: Tensor, deviation: float, noise: torch.Generator) -> Tensor:
    """What the mean of eight needs, on the sum."""
    return NOISED(total, deviation / len(MANY), noise)


NOISED = dp_sgd.noised
STARTS: dict[int, Tensor] = {}


def reused(total: Tensor, deviation: float, noise: torch.Generator) -> Tensor:
    """Every step of a run starts its noise anew from the same state."""
    noise.set_state(STARTS.setdefault(noise.initial_seed(), noise.get_state()))
    return NOISED(total, deviation, noise)


def shuffled(self: dp_sgd.DpSgd, number: int, nominal: int, draw: torch.Generator) -> Iterator[Tensor]:
    """Batches of a fixed size, one after the other through a shuffled order."""
    order = torch.randperm(number, generator=draw)
    yield from (order[k * self.batch_size : (k + 1) * self.batch_size] for k in range(self.steps(nominal)))


def rows_clipped(matrix: Tensor, bound: float) -> Tensor:
    return torch.stack([row * min(1.0, bound / max(float(row.norm()), 1e-300)) for row in matrix])


def first_unclipped(self: DpFedAvgAggregate, update: object, sender: str, round: int) -> object:
    return update if sender == "client-0" else SENT(self, update, sender, round)  # type: ignore[arg-type]


SENT = DpFedAvgAggregate.outgoing_update


@contextmanager
def largest_alone() -> Iterator[None]:
    """Only the larger half of a client's entries is sent, and their places are not hidden."""

    def noised(tensors: client.Tensors, deviation: float, source: torch.Generator) -> dict[str, Tensor]:
        found = ADDED(tensors, deviation, source)
        return {
            name: torch.where(tensors[name].abs() > tensors[name].abs().median(), value, 0.0)
            for name, value in found.items()
        }

    with patch.object(client, "add_noise", noised):
        yield


ADDED = client.add_noise


def adaptive(self: DpFedAvg, update: client.Tensors, sender: str, round: int) -> object:
    """The bound is the client's own norm: nothing counts that its noise tells of it."""
    own = replace(self, clip=max(1e-3, client.norm(update.tensors)))  # type: ignore[attr-defined]
    return OUTGOING(own, update, sender, round)  # type: ignore[arg-type]


OUTGOING = DpFedAvg.outgoing_update
WITH = CANARY.joined(OTHERS)
FEW = line([1] * 7, [0] * 7, 0.01)
MANY = CANARY.joined(FEW)
TIE = line([0] * 5, [0, 0, 1, 0, 1])
UNTIED = line([0] * 6, [0, 0, 1, 0, 1, 1])
OPPOSED = line([0, 0], [0, 1])
RAMP = line([0] * 8, [0] * 8, 4.0 * np.arange(1, 9))
"""Public rows; each private one undoes the public one that it meets, as long as none is missing before it."""
UNDONE = line([0] * 8, [1] * 8, 4.0 * np.arange(1, 9))
MISSING = line([0] * 7, [1] * 7, 4.0 * np.arange(2, 9))

SAMPLED, WHOLE_BATCH, MEAN = training(OTHERS, WITH), training(FEW, MANY, 1.0), aggregate()
MUTANTS = (
    Mutant("no clipping", "gradients are summed as they are", SAMPLED, replaced(Engines, "clipped", unclipped)),
    Mutant(
        "clip after averaging",
        "the mean is clipped, not what goes into it",
        WHOLE_BATCH,
        replaced(Engines, "clipped", after_averaging),
    ),
    Mutant(
        "noise of the mean on the sum", "an eighth of the noise", WHOLE_BATCH, replaced(dp_sgd, "noised", of_the_mean)
    ),
    Mutant("noise reused", "the same noise in both steps", SAMPLED, replaced(dp_sgd, "noised", reused)),
    Mutant(
        "shuffled batches",
        "of a fixed size, counted as Poisson",
        training(line([0], [0]), OPPOSED),
        replaced(dp_sgd.DpSgd, "_batches", shuffled),
        4_000,
    ),
    Mutant(
        "wrong sampling rate",
        "everybody, told as one in twenty",
        training(FEW, MANY, 1.0, told=0.05),
        nullcontext,
    ),
    Mutant(
        "one client unclipped",
        "client 0 sends what it has",
        MEAN,
        replaced(DpFedAvgAggregate, "outgoing_update", first_unclipped),
    ),
    Mutant(
        "private teacher",
        "learns from a model trained on the same records without noise",
        training(TIE, UNTIED, 1.0, 0.01),
        replaced(Engines, "clipped", by_teacher),
    ),
    Mutant(
        "merged public rows",
        "private and public gradients are added row by row, then clipped",
        training(MISSING, UNDONE, 1.0),
        replaced(Engines, "clipped", merged),
    ),
    Mutant(
        "row clipping",
        "rows of a matrix are clipped one by one",
        predictions(),
        replaced(matrices, "clip_norm", rows_clipped),
    ),
    Mutant(
        "selection by private values",
        "the larger half of the entries is sent",
        updates((1.0, 0.0), (0.0, 1.0)),
        largest_alone,
    ),
    Mutant(
        "adaptive clip not counted",
        "the bound is the client's own norm",
        updates((0.01,), (1.0,)),
        replaced(DpFedAvg, "outgoing_update", adaptive),
    ),
    Mutant(
        "batch statistics", "inputs are centred by their batch", WHOLE_BATCH, replaced(Engines, "clipped", by_batch)
    ),
)
