"""What a contributor writes, as protocols in the typing sense: nothing to inherit, nothing to register.

A federated protocol is state in, state out. A state is plain tensors and a round number, so a checkpoint is just the
state. All that leaves a party goes through the channel of the round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part, Work
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.channel import Channel, Outgoing
from fedprivacy.wire.payload import Predictions
from fedprivacy.wire.release import Release, of_clients
from fedprivacy.wire.transcript import Message, PublicFold, Store


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


@runtime_checkable
class NoisesReleases(Protocol):
    """A defense that bounds what a client sends and adds noise of a known law to every entry of it."""

    def silent(self) -> Defense:
        """The same with its noise off."""


@runtime_checkable
class WeighsAnswers(NoisesReleases, Protocol):
    """One of them that acts on predictions, before each client's leave it."""

    def log_ratio(self, sent: Tensor, one: Tensor, other: Tensor) -> float:
        """Log-likelihood that ``sent`` [N, C] is ``one`` with noise, less that it is ``other`` with noise."""


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
