"""What a contributor writes, as protocols in the typing sense: nothing to inherit, nothing to register.

A federated protocol is state in, state out. A state is plain tensors and a round number, so a checkpoint is just the
state. All that leaves a party goes through the channel of the round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.sight import Wire
from fedprivacy.adversary.threat import Bool, Float, Int, Signals, View
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.run import AttackConfig
from fedprivacy.data.records import Dataset, Division, Ids
from fedprivacy.models import own_head
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.training.learner import PrivateFit, Records, Workbench
from fedprivacy.wire.channel import Channel, Outgoing
from fedprivacy.wire.payload import Predictions
from fedprivacy.wire.release import Release, of_clients
from fedprivacy.wire.transcript import Message, PublicFold, Store

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


@dataclass(frozen=True, eq=False)
class RoundOutcome:
    """What a round leaves behind beside its messages."""

    state: FederationState
    history: Sequence[HistoryRow] = ()
    events: Sequence[PrivacyEvent] = ()
    folds: Sequence[PublicFold] = ()


@dataclass(frozen=True, eq=False)
class Shared:
    """Predictions on one public fold, as their receivers decoded them, by client."""

    received: Mapping[int, Predictions]
    fold: PublicFold
    history: Sequence[HistoryRow] = ()


@runtime_checkable
class FederatedProtocol(Protocol):
    """One federated algorithm."""

    def check(self, env: Environment) -> None:
        """Raise UsageError where the protocol cannot do what is asked; runs before any training."""

    def init(self, env: Environment) -> RoundOutcome:
        """The state before round 1 (warm-up included)."""

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        """One round, 1-based."""

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        """Models to test at the end: owner (``client-3``, ``server``) -> (architecture name, weights)."""


@runtime_checkable
class RunsWhole(Protocol):
    """A protocol that runs all its rounds at once, and is not taken up between them."""

    def whole(
        self,
        env: Environment,
        store: Store,
        defense: Outgoing | None,
        closed: Callable[[int, Sequence[Message], Sequence[PublicFold]], None],
    ) -> FederationState:
        """All rounds; ``closed`` is told of each that is whole. The state that it ends with."""


@runtime_checkable
class AnswersOtherwise(Protocol):
    """A protocol whose owners also answer in another way than by the output of their model."""

    answers_by: ClassVar[str]
    """What the other way is, as part of a metric's name: ``nearest_prototype``."""

    def answers(self, state: FederationState, env: Environment, x: NDArray[Any]) -> Mapping[str, Tensor]:
        """Scores [N, C] on records as stored, higher is likelier, by owner of :meth:`FederatedProtocol.models`."""


@runtime_checkable
class SharesPredictions(FederatedProtocol, Protocol):
    """A protocol whose clients answer with predictions on public records.

    The two phases before anybody trains on the fold are separate, so that an active server's planted fold can be
    answered without changing the honest run.
    """

    def private_phase(self, state: FederationState, round: int, env: Environment) -> RoundOutcome:
        """Local training before predictions are taken."""

    def share(self, state: FederationState, round: int, env: Environment, channel: Channel) -> Shared:
        """Each participant predicts on the round's fold and sends."""


@runtime_checkable
class PlansWork(Protocol):
    """A protocol whose clients do not train once in each round that they take part in."""

    def work(self, env: Environment) -> Sequence[Work]:
        """Every local training of the run, by what everybody knows: never by what records hold."""


@runtime_checkable
class DeclaresReleases(Protocol):
    """A protocol, or its settings, that says before any training what crosses the wire."""

    def releases(self, federation: FederationSettings) -> Sequence[Release]:
        """What clients and server send in one round, all of it."""


@runtime_checkable
class AddsNoise(Protocol):
    """A defense that adds the same Gaussian noise to every entry of an update."""

    def noise(self, senders: int) -> float:
        """Its standard deviation on the mean of what ``senders`` clients sent; of one client's update for 1."""


class Defense(Outgoing, Protocol):
    """Stands between clients and the wire, and says what each release costs."""

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        """Raise UsageError where the defense cannot act on what will be sent; runs before any training."""

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        """Privacy events of the whole run, for every release that the defense covers; none where it proves nothing.

        They take the place of the protocol's own events of the same client, round and release.
        """


@runtime_checkable
class ChangesTraining(Protocol):
    """A defense that changes how, or on what, clients train."""

    def prepared(self, env: Environment) -> Environment:
        """The environment that the protocol runs in."""


def declared(protocol: FederatedProtocol, federation: FederationSettings) -> tuple[Release, ...]:
    """What crosses the wire in a round. UsageError where neither the protocol nor its settings say so."""
    for part in (protocol, getattr(protocol, "options", None)):
        if isinstance(part, DeclaresReleases):
            return tuple(part.releases(federation))
    raise UsageError(
        f"protocol {type(protocol).__name__} does not say before training what crosses the wire: it, or its settings, "
        "need a method releases(federation)."
    )


def releases_of(protocol: FederatedProtocol, env: Environment) -> tuple[Release, ...]:
    """What the participants of a round send: what a defense acts on."""
    return of_clients(declared(protocol, env.settings))


def prepared(env: Environment, defense: Defense | None) -> Environment:
    """The environment under a defense."""
    return defense.prepared(env) if isinstance(defense, ChangesTraining) else env


@dataclass(frozen=True, eq=False)
class Observed:
    """What one adversary learned in one federation, about all candidates and from every source it can tell apart.

    ``logp`` [sources, rounds, n, classes], NaN where nothing was observed: source k is client k where releases come
    by client, or the single aggregate. ``seen``, ``clean`` [rounds, n] as in `Signals`;
    ``population_logp`` [sources, rounds, M, classes] on the adversary's own records. ``floor`` counts clamped
    values; ``notes`` say what the finding must carry. ``reference_logp`` [references, rounds, n, classes] and
    ``reference_population_logp``: further models that trained on no other client's candidate, such as a peer's own.
    ``surrogate_logp`` [sources, S, n, classes]: surrogates of each source, where a statistic asks for them.
    ``scores`` [sources, rounds, n]: log-odds of membership decoded for all candidates together (higher says member),
    weighted by round so that their sum over rounds is the score; NaN where not seen. Where they are all that an
    observation gives, ``logp`` has no classes (:meth:`decoded`). ``simulated_logp`` [sources, S, rounds, n, classes]
    and ``simulated_population_logp``: answers of simulated clients in the place of each source, which were trained on
    the candidates of ``simulated_in`` [sources, S, n]; NaN where they were not asked.
    """

    logp: Float
    seen: Bool
    clean: Bool
    population_logp: Float | None = None
    floor: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reference_logp: Float | None = None
    reference_population_logp: Float | None = None
    surrogate_logp: Float | None = None
    scores: Float | None = None
    simulated_logp: Float | None = None
    simulated_population_logp: Float | None = None
    simulated_in: Bool | None = None

    @classmethod
    def decoded(cls, scores: Float, notes: tuple[str, ...] = ()) -> Observed:
        """An observation of nothing but jointly decoded ``scores`` [sources, rounds, n]."""
        seen = np.asarray((~np.isnan(scores)).any(axis=0))
        return cls(np.empty((*scores.shape, 0)), seen, np.ones(seen.shape, dtype=bool), notes=notes, scores=scores)

    def restricted(self, known: Bool) -> Observed:
        """The same with every candidate outside ``known`` [n] unseen."""
        hidden = ~known

        def without(values: Float | None, axis: int) -> Float | None:
            if values is None:
                return None
            masked = values.copy()
            masked[(slice(None),) * axis + (hidden,)] = np.nan
            return masked

        logp = without(self.logp, 2)
        assert logp is not None
        return replace(
            self,
            logp=logp,
            seen=self.seen & known,
            reference_logp=without(self.reference_logp, 2),
            surrogate_logp=without(self.surrogate_logp, 2),
            scores=without(self.scores, 2),
        )


@dataclass(frozen=True, eq=False)
class Rules:
    """How the federation works, which everybody who takes part is told. No coin and no secret seed is in here.

    ``division``: who owns which candidates. ``defense``: builds the defense for an environment, and its noise from
    that environment's seeds. ``initial``: the state that all were given before round 1; None where each has its own.
    """

    protocol: FederatedProtocol
    division: Division
    defense: Callable[[Environment], Defense | None]
    initial: FederationState | None = None


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What the adversary brings: candidate records and labels, its own records, the architecture, public records.

    No coin and no client's model is in here. ``root`` seeds the adversary's own training. ``start``: the weights that
    everybody began from, for an observation that works with changes since then; whoever takes part was given them.
    ``known`` [n]: which candidates it can ask about; None for all. ``rules``: for an observation that plays clients.
    ``starts``: by architecture, the weights that its clients were given; None where each drew its own.
    ``wire``: what crosses the wire, as declared.
    """

    attack: AttackConfig
    root: int
    dataset: Dataset
    candidates: Ids
    auxiliary: Ids
    workbench: Workbench
    start: Part | None = None
    known: Bool | None = None
    rules: Rules | None = None
    starts: Mapping[str, Part] | None = None
    wire: Wire = field(kw_only=True)

    @property
    def settings(self) -> FederationSettings:
        """What everybody in the federation knows of it."""
        return self.wire.federation


class Observation(Protocol):
    """View and candidates in, signals out."""

    name: ClassVar[str]

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        """What the view tells of the candidates; all NaN where it tells nothing."""


class Statistic(Protocol):
    """Signals of one round in, one score a candidate out; higher says member."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]

    def score(self, signals: Signals) -> Float: ...


__all__ = [
    "AddsNoise",
    "AnswersOtherwise",
    "Bool",
    "ChangesTraining",
    "DeclaresReleases",
    "Defense",
    "Environment",
    "FederatedProtocol",
    "FederationState",
    "HistoryRow",
    "Int",
    "Knowledge",
    "Observation",
    "Observed",
    "Part",
    "Release",
    "RoundOutcome",
    "Rules",
    "RunsWhole",
    "Shared",
    "SharesPredictions",
    "Statistic",
    "View",
    "declared",
    "prepared",
    "releases_of",
]
