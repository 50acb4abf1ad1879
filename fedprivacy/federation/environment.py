"""What a protocol may use in a run, and the state that it hands from round to round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.data.records import Dataset, Division, Ids
from fedprivacy.models import own_head
from fedprivacy.training.learner import Epoch, Learner, PrivateFit, Records, Workbench

Part = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class FederationState:
    """Everything that survives a round: named parts (``client-3/model``, ``server/model``) of named tensors."""

    round: int
    parts: Mapping[str, Part]

    def updated(self, round: int | None = None, **parts: Part) -> FederationState:
        """A new state with some parts replaced; a part name's ``/`` is written ``__`` in a keyword."""
        changed = {name.replace("__", "/"): part for name, part in parts.items()}
        return self.having(changed, round)

    def having(self, parts: Mapping[str, Part], round: int | None = None) -> FederationState:
        """A new state with ``parts`` put in the place of those of the same name."""
        return FederationState(self.round if round is None else round, {**self.parts, **parts})


@dataclass(frozen=True)
class HistoryRow:
    """One epoch of one client's training, or one look at a fold before training on it."""

    round: int
    client: int
    phase: str
    epoch: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Work:
    """One local training of one client, as it is planned: what a defense calibrates noise to and counts."""

    client: int
    round: int
    sends: bool = True
    """Whether its messages are meant to leave; what drops out on the way was planned all the same."""


@dataclass(frozen=True, eq=False)
class Environment:
    """What a protocol may use: the records of each role, the workbench that trains, and names for seeds."""

    settings: FederationSettings
    """What everybody in the federation knows of it."""
    root: int
    dataset: Dataset
    division: Division
    members: tuple[tuple[Ids, ...], ...]
    """[client][fold] records trained on: the candidates whose coin fell on one."""
    workbench: Workbench
    planted: Mapping[int, Ids] = field(default_factory=dict)
    """Round -> public fold with an active adversary's probes in it."""
    private_fit: PrivateFit | None = None
    """How clients fit their private records, where a defense says so; None: :meth:`Learner.fit`."""
    planned: tuple[Work, ...] | None = None
    """Every local training of the run, where the protocol has a plan of its own (:class:`PlansWork`)."""

    @property
    def clients(self) -> int:
        return self.settings.clients

    @property
    def rounds(self) -> int:
        return self.settings.rounds

    def architecture(self, client: int) -> str:
        """Name of the architecture of client ``client``."""
        models = self.settings.training.client_models or (self.settings.training.model,)
        name = models[client % len(models)]
        return name if self.settings.training.heads == "common" else own_head.name_of(name, self.classes(client))

    def classes(self, client: int) -> tuple[int, ...]:
        """The label set of a client: the classes of its pool and validation records. UsageError for one class."""
        held = np.concatenate([self.division.pool(client), *self.division.validation[client]])
        found = tuple(int(label) for label in np.unique(self.dataset.y_train[held]))
        if len(found) < 2:
            raise UsageError(f"--heads own: client {client} holds one class; raise --classes-per-client to 2.")
        return found

    def private(self, client: int, round: int) -> Records:
        """The records client ``client`` trains on in ``round`` (1-based); guarded where ``private_fit`` is set."""
        records = self.records(self.members[client][self.fold(client, round)])
        return records if self.private_fit is None else records.as_guarded()

    def fold(self, client: int, round: int) -> int:
        """Which of its folds client ``client`` trains on in ``round``."""
        return min(round, len(self.members[client])) - 1

    def nominal(self, client: int, round: int) -> int:
        """Expected number of those records: a public number, whatever the coins."""
        candidates = self.division.candidates[client][self.fold(client, round)]
        return max(1, round_half_up(len(candidates) * self.settings.data.inclusion))

    def validation(self, client: int, round: int) -> Records:
        """The validation part of that fold; may be empty."""
        folds = self.division.validation[client]
        return self.records(folds[min(round, len(folds)) - 1] if len(folds) > 1 else folds[0])

    def public_ids(self, round: int) -> Ids:
        """Ids of the public fold of ``round``, with any planted probes."""
        planted = self.planted.get(round)
        return self.division.public[round - 1] if planted is None else planted

    def records(self, ids: Ids) -> Records:
        """Training records by id."""
        return Records(self.dataset.x_train[ids], self.dataset.y_train[ids])

    def played(
        self, client: int, name: tuple[str | int, ...], learners: Sequence[Learner], fit: Callable[[], list[Epoch]]
    ) -> list[Epoch]:
        """Do ``fit``, the training called ``name`` of ``client`` (-1: the server) that changes ``learners``.

        Where each party is a process of its own (:mod:`fedprivacy.federation.projected`), only that of ``client`` does.
        """
        return fit()

    @property
    def work(self) -> tuple[Work, ...]:
        """Every local training of the run: as planned, or one a participant and round."""
        if self.planned is not None:
            return self.planned
        return tuple(Work(c, round) for round in range(1, self.rounds + 1) for c in self.participants(round))

    def participants(self, round: int) -> list[int]:
        """Clients that take part in ``round``: a seeded draw of ``participation``, at least one."""
        if self.settings.participation == 1:
            return list(range(self.clients))
        number = max(1, round_half_up(self.settings.participation * self.clients))
        draw = seeds.numpy_generator(self.root, "participants", round).permutation(self.clients)[:number]
        return sorted(int(client) for client in draw)

    def senders(self, round: int) -> list[int]:
        """Participants whose messages leave: the others drop out after training. May be empty."""
        clients, rate = self.participants(round), self.settings.dropout_rate
        if rate == 0:
            return clients
        return [c for c in clients if seeds.numpy_generator(self.root, "dropout", round, c).random() >= rate]

    def with_planted(self, planted: Mapping[int, Ids]) -> Environment:
        """The same environment with an active adversary's folds."""
        return replace(self, planted=dict(planted))


def round_half_up(number: float) -> int:
    """Nearest integer, halves upward."""
    return int(np.floor(number + 0.5))
