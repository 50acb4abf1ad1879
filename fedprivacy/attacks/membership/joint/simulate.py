"""Plays clients: the protocol's own local training, from observed weights, on candidates by coins of the adversary's.

Every simulation is a world of its own, with coins for all known candidates and seeds of its own; what a client keeps
from round to round (moments, a private model, a last model) goes on within it. Coins come in opposite pairs, so that
the mean over the simulations is exactly half of every candidate to first order. Records that the adversary does not
know are stood in for by its own. What a client sends passes through the defense, noise and all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.attacks.membership.joint.changes import Change
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import Defense, prepared
from fedprivacy.federation.knowledge import Knowledge, Rules
from fedprivacy.federation.local_training import TrainsLocally
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.training.watching import Path, Watching
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Payload, Update, Weights
from fedprivacy.wire.transcript import MemoryStore


@dataclass(frozen=True, eq=False)
class Columns:
    """The records whose share in a change is solved for: candidates of one client, then stand-ins for its unknown ones.

    ``places`` [n]: positions among all candidates, -1 for a stand-in; ``ids`` [n]: in the training set; ``prior`` [n]:
    probability that a record is trained on, before anything was seen; ``fold`` [n]: the fold of a candidate.
    """

    places: Ids
    ids: Ids
    prior: Float
    fold: Ids

    @property
    def judged(self) -> Bool:
        """Which columns are candidates [n]."""
        return np.asarray(self.places >= 0)

    def only(self, rows: Bool) -> Columns:
        """Some of the columns."""
        return Columns(self.places[rows], self.ids[rows], self.prior[rows], self.fold[rows])


def columns_of(knowledge: Knowledge, rules: Rules, client: int, owned: bool = True) -> Columns:
    """What the adversary can say of the records of one client: of its pool, or where none is ``owned`` of all pools."""
    pools = [client] if owned else list(range(len(rules.division.candidates)))
    known = [_pool(knowledge, rules, pool) for pool in pools]
    columns, hidden = joined([one for one, _ in known]), np.concatenate([fold for _, fold in known])
    columns = replace(columns, prior=columns.prior / len(pools))
    stand_ins = knowledge.auxiliary
    if not len(hidden) or not len(stand_ins):
        return columns
    share = min(1.0, knowledge.settings.data.inclusion * len(hidden) / len(pools) / len(stand_ins))
    # Each stands in for the unknown records of one fold, so that every fold keeps its size.
    spread = hidden[np.arange(len(stand_ins)) % len(hidden)]
    strangers = Columns(np.full(len(stand_ins), -1), stand_ins, np.full(len(stand_ins), share), spread)
    return joined([columns, strangers])


def _pool(knowledge: Knowledge, rules: Rules, client: int) -> tuple[Columns, Ids]:
    """The known candidates of one pool, and the folds of its unknown ones."""
    folds = rules.division.candidates[client]
    first = sum(len(pool) for other in rules.division.candidates[:client] for pool in other)
    ids = np.concatenate(folds)
    places = first + np.arange(len(ids))
    fold = np.repeat(np.arange(len(folds)), [len(one) for one in folds])
    every = Columns(places, ids, np.full(len(ids), knowledge.settings.data.inclusion), fold)
    known = np.ones(len(ids), dtype=bool) if knowledge.known is None else knowledge.known[places]
    return every.only(known), fold[~known]


def joined(columns: Sequence[Columns]) -> Columns:
    """All columns, one set after the other."""
    return Columns(
        np.concatenate([one.places for one in columns]),
        np.concatenate([one.ids for one in columns]),
        np.concatenate([one.prior for one in columns]),
        np.concatenate([one.fold for one in columns]),
    )


@dataclass(eq=False)
class World:
    """One simulation: its environment under the defense, its coins by client, and what the clients in it hold."""

    env: Environment
    defense: Defense | None
    coins: Mapping[int, Bool]
    state: FederationState

    def channel(self, protocol: TrainsLocally, change: Change, defense: Defense | None) -> Channel:
        """What the clients of ``change`` send through, each from the weights that it was sent."""
        held = {client_name(client): self._held(protocol, change, client) for client in change.clients}
        return Channel(change.round, MemoryStore(), defense, held.__getitem__)

    def sent(self, protocol: TrainsLocally, change: Change, client: int, channel: Channel, env: Environment) -> Payload:
        """What ``client`` sends in ``change``; what it keeps goes on within this world."""
        before = self.state.having({protocol.held(client): self._held(protocol, change, client)})
        work = protocol.local(before, change.round, env, client)
        self.state = before.having(work.parts)
        return channel.send(client_name(client), SERVER, work.payload)

    def kept(self, protocol: TrainsLocally, change: Change, client: int) -> bool:
        """Whether ``client`` holds something that it was not sent in ``change``."""
        return bool(set(self._held(protocol, change, client)) - set(change.received[client]))

    def _held(self, protocol: TrainsLocally, change: Change, client: int) -> Part:
        return {**self.state.parts.get(protocol.held(client), {}), **change.received[client]}


@dataclass(frozen=True, eq=False)
class Played:
    """One change as the worlds would have made it: ``start - end`` of each, and what the clients passed through."""

    moved: Sequence[Part]
    paths: Mapping[int, Path]


class Simulation:
    """A number of worlds that follow one federation, change by change."""

    def __init__(
        self, knowledge: Knowledge, rules: Rules, columns: Mapping[int, Columns], number: int, points: int
    ) -> None:
        if not isinstance(rules.protocol, TrainsLocally):
            raise ValueError("the protocol does not say how one client trains by itself")
        self.protocol, self.rules, self.points = rules.protocol, rules, points
        self.columns = columns
        sent = knowledge.wire.model
        self._slot = "" if sent is None else sent.slot
        # Masks cancel in the sum, and the sum is all that was seen.
        self._masked = knowledge.wire.defended.hides_each
        self.worlds = [_world(knowledge, rules, self.columns, place) for place in range(number)]

    def play(self, change: Change) -> Played:
        """Let the clients of ``change`` train in every world, from what they were sent."""
        paths = {client: Path(self.points) for client in change.clients}
        moved = []
        for world in self.worlds:
            end = self._ended(world, change, paths)
            moved.append({name: start - end[name] for name, start in change.start.items()})
        return Played(moved, paths)

    def _ended(self, world: World, change: Change, paths: Mapping[int, Path]) -> Part:
        channel = world.channel(self.protocol, change, None if self._masked else world.defense)
        sent: dict[str, Payload] = {}
        for client, path in paths.items():
            env = replace(world.env, workbench=Watching(world.env.workbench, self._slot, path))
            sent[client_name(client)] = world.sent(self.protocol, change, client, channel, env)
            path.close()
        if len(sent) == 1:
            return after(next(iter(sent.values())), change.start)
        return after(channel.combined(sent, lambda: _mean(list(sent.values()))), change.start)


def _world(knowledge: Knowledge, rules: Rules, columns: Mapping[int, Columns], place: int) -> World:
    """World number ``place``; odd ones have the opposite coins of the one before."""
    root = seeds.value(knowledge.root, "joint updates", "world", place)
    division = rules.division
    members: list[tuple[Ids, ...]] = []
    coins: dict[int, Bool] = {}
    for client, folds in enumerate(division.candidates):
        if client not in columns:
            members.append(tuple(fold[:0] for fold in folds))
            continue
        own = columns[client]
        draw = seeds.numpy_generator(knowledge.root, "joint updates", "coins", place // 2, client).random(len(own.ids))
        coins[client] = draw < own.prior if place % 2 == 0 else draw >= 1 - own.prior
        members.append(tuple(own.ids[coins[client] & (own.fold == number)] for number in range(len(folds))))
    env = Environment(knowledge.settings, root, knowledge.dataset, division, tuple(members), knowledge.workbench)
    state = rules.initial if rules.initial is not None else rules.protocol.init(env).state
    defense = rules.defense(env)
    return World(prepared(env, defense), defense, coins, state)


def _mean(sent: Sequence[Payload]) -> Payload:
    tensors = weighted_mean([payload.tensors for payload in sent if isinstance(payload, Weights | Update)])
    return Update(tensors) if isinstance(sent[0], Update) else Weights(tensors)


def after(payload: Payload, start: Part) -> dict[str, Tensor]:
    """Weights after a change by ``payload``, where they are among those of ``start``."""
    if isinstance(payload, Update):
        return {name: t + payload.tensors[name] if name in payload.tensors else t for name, t in start.items()}
    assert isinstance(payload, Weights)
    return {name: payload.tensors[name].float() for name in start}
