"""A function ``federate(game, wire)`` as a protocol: run as a whole, with what it sends found by a rehearsal.

Nobody declares what such a function sends. So it is rehearsed once on a few made-up records of the right shape, for two
rounds, and its releases are read off that transcript; from then on it is a protocol like any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from torch import nn

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.federation import FederationSettings
from fedprivacy.data.records import Dataset, Division
from fedprivacy.data.sources import load
from fedprivacy.federation import phases
from fedprivacy.federation.bench import workbench
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.federation.own.deal import Deal
from fedprivacy.federation.own.wire import Closed, Wire
from fedprivacy.training.learner import Diverged
from fedprivacy.wire.channel import Aggregator, Channel, Outgoing, change
from fedprivacy.wire.inferred import Told, releases_in
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.release import UPDATES, Release
from fedprivacy.wire.transcript import MemoryStore, Message, PublicFold, Store, Transcript

Federate = Callable[[Deal, Wire], Mapping[str, nn.Module | Mapping[str, Any]] | None]
"""Runs all rounds; may return the models to test, by owner."""

REHEARSED_ROUNDS, REHEARSED_RECORDS = 2, 8
START = f"{SERVER}/model"
GLOBAL = "global"


class _Begun(BaseException):
    """The first message is about to be sent, and all that came before it is known."""


@dataclass(frozen=True)
class OwnFederation:
    """``federate`` under the name that a user gave for it."""

    federate: Federate
    name: str

    def releases(self, federation: FederationSettings) -> tuple[Release, ...]:
        """What the function sent in its rehearsal. UsageError where it failed there or sent nothing."""
        return _rehearsed(self, federation)

    def check(self, env: Environment) -> None:
        """Raise UsageError for settings that the function would have to carry out itself."""
        if env.settings.participation < 1 or env.settings.dropout_rate > 0:
            raise UsageError(f"protocol {self.name}: who takes part is up to its own loop; leave participation at 1.")

    def init(self, env: Environment) -> RoundOutcome:
        """The common start as far as the function says one: it runs up to its first message."""

        def begun(*_: Any) -> None:
            raise _Begun

        wire = Wire(Deal(env), _Refusing(begun))
        with contextlib.suppress(_Begun):
            self._run(env, wire)
        return RoundOutcome(FederationState(0, {} if wire.start is None else {START: wire.start}))

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        """Never: a function runs all its rounds at once (:meth:`whole`)."""
        raise NotImplementedError("a federation of one's own runs as a whole")

    def whole(self, env: Environment, store: Store, defense: Outgoing | None, closed: Closed) -> FederationState:
        """Run all rounds; ``closed`` is told of each. The state holds the models that are tested.

        Raises UsageError where the function cannot be run so, or where, under a defense, it does not go on with what
        arrived.
        """
        if isinstance(defense, Aggregator):
            raise UsageError(
                f"protocol {self.name}: its own loop merges what clients send, so no defense can do that in its place; "
                "use one that acts at the clients (placement = 'local')."
            )
        if env.private_fit is not None:
            raise UsageError(f"protocol {self.name}: its own loop trains; no defense can change that training.")
        wire = Wire(Deal(env), store, defense, closed)
        self._run(env, wire)
        wire.close()
        if defense is not None and wire.unread is not None:
            lost = wire.unread
            raise UsageError(
                f"protocol {self.name}: in round {lost.round} it did not look at what arrived from "
                f"{lost.sender}; under a "
                "defense a loop goes on with what wire.sent(...) returns, .tensors or .values, not with what it sent."
            )
        return FederationState(env.rounds, {f"{owner}/model": part for owner, part in self._final(env, wire).items()})

    def held(self, client: int) -> str:
        """Name of the part that holds the model which ``client`` receives, trains and sends."""
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        """Local training as the settings have it, by whoever plays a client; only where the function goes by them."""
        start = state.parts[self.held(client)]
        learner = env.workbench.learner(env.architecture(client), start)
        epochs = phases.fit_private(learner, env, client, round)
        end = learner.weights()
        sends_updates = any(r.sender == "client" and r.reads in UPDATES for r in self.releases(env.settings))
        payload = change(start, end) if sends_updates else Weights(end)
        return LocalWork({self.held(client): end}, phases.rows(epochs, round, client, "private"), payload)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        """The models that the function returned or told, else the last that crossed the wire."""
        found = {}
        for part, weights in state.parts.items():
            owner = part.removesuffix("/model")
            client = int(owner.removeprefix("client-")) if owner.startswith("client-") else 0
            found[owner] = (env.architecture(client), weights)
        return found

    def _run(self, env: Environment, wire: Wire) -> None:
        """The function, with torch's own stream seeded; what it raises is one line with its place."""
        try:
            with seeds.torch_scope(env.root, "own federation"):
                returned = self.federate(wire.game, wire)
        except (UsageError, Diverged):
            raise
        except Exception as error:
            raise UsageError(f"protocol {self.name}: it failed: {_told(error)}.") from error
        if returned is not None:
            if not isinstance(returned, Mapping):
                raise UsageError(f"protocol {self.name}: it returns a {type(returned).__name__}, not models by owner.")
            for owner, model in returned.items():
                wire.ended(str(owner), model)

    def _final(self, env: Environment, wire: Wire) -> Mapping[str, Part]:
        found: dict[str, Part] = dict(wire.final)
        if not found and SERVER in wire.newest:
            found = {GLOBAL: wire.newest[SERVER]}
        found = found or dict(wire.newest)
        if not found:
            raise UsageError(
                f"protocol {self.name}: no model of it is known; return those it ends with, such as "
                "{'client-0': net}."
            )
        for owner, part in found.items():
            client = int(owner.removeprefix("client-")) if owner.startswith("client-") else 0
            whole = env.workbench.module(env.architecture(client)).state_dict()
            if part.keys() != whole.keys() or any(part[name].shape != t.shape for name, t in whole.items()):
                raise UsageError(
                    f"protocol {self.name}: the model that {owner} ends with is no {env.architecture(client)}; say "
                    "which one it is by training.model, such as file.py:Net, and return whole models."
                )
        return found


@dataclass(frozen=True)
class _Refusing:
    """A store that takes nothing."""

    refuse: Callable[..., None]

    def put(self, digest: str, data: bytes) -> None:
        self.refuse()

    def get(self, digest: str) -> bytes:
        raise KeyError(digest)


def _told(error: Exception) -> str:
    """An error of foreign code in one line, with the line of code that it came from."""
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f" ({trace.tb_frame.f_code.co_filename.rpartition('/')[2]}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}{place}"


@lru_cache(maxsize=8)
def _rehearsed(own: OwnFederation, federation: FederationSettings) -> tuple[Release, ...]:
    env = _stage(federation)
    store, game = MemoryStore(), Deal(env)
    messages: list[Message] = []
    folds: list[PublicFold] = []

    def closed(_: int, sent: Sequence[Message], asked: Sequence[PublicFold]) -> None:
        messages.extend(sent)
        folds.extend(asked)

    wire = Wire(game, store, None, closed)
    own._run(env, wire)
    wire.close()
    if not messages:
        raise UsageError(f"protocol {own.name}: nothing crossed the wire; say wire.sent(...) for all that does.")
    follows = "training" in game.read
    told = Told(
        frozenset(env.workbench.module(env.architecture(0)).state_dict()),
        wire.start is not None,
        "labels" if follows else "more",
        follows,
        answers=True,
        batches="batches" in game.read,
    )
    return releases_in(Transcript(tuple(messages), tuple(folds), store), told)


def _stage(federation: FederationSettings) -> Environment:
    """A game on made-up records of the right shape; clients differ in size, so that a weighted mean is told apart."""
    real = _records(federation)
    sizes = [REHEARSED_RECORDS + client for client in range(federation.clients)]
    fold = max(1, federation.data.public_size)
    n = sum(sizes) + fold * REHEARSED_ROUNDS
    draw = seeds.numpy_generator(0, "rehearsal")
    shape, image = (n, *real.shape), real.x_train.dtype == np.uint8
    x = draw.integers(0, 256, shape, dtype=np.uint8) if image else draw.normal(size=shape).astype(np.float32)
    y = np.arange(n) % len(real.classes)
    ids = np.split(np.arange(n), np.cumsum([*sizes, *[fold] * REHEARSED_ROUNDS])[:-1])
    pools, public = tuple((part,) for part in ids[: len(sizes)]), tuple(ids[len(sizes) :])
    if federation.data.public_set == "static":
        public = (public[0],) * REHEARSED_ROUNDS
    if not federation.data.public_size:
        public = (np.array([], dtype=np.int64),) * REHEARSED_ROUNDS
    nobody = np.array([], dtype=np.int64)
    division = Division(nobody, pools, ((nobody,),) * len(sizes), public, nobody)
    dataset = Dataset("rehearsal", x, y, x, y, real.classes, "rehearsal")
    settings = replace(federation, rounds=REHEARSED_ROUNDS, participation=1.0, dropout_rate=0.0)
    return Environment(settings, 0, dataset, division, pools, workbench(federation.training, dataset))


def _records(federation: FederationSettings) -> Dataset:
    return load(federation.data)
