"""One party of a federation in a process of its own: the protocol's round as it is, with all others behind the wire.

A protocol says in one script what everybody does. A party runs that script and does its own work; what others send it
comes from outside, and their work is left out. That is the endpoint projection of a choreography (Carbone and Montesi,
POPL 2013), made while it runs. It needs what protocols promise anyway: that nothing passes between parties but through
the channel, and that every draw has a name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor

from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import Defense, FederatedProtocol, RoundOutcome
from fedprivacy.training.learner import Epoch, Learner, Records
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.codec import decode, encode, unshared, value_bytes
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import PayloadT
from fedprivacy.wire.transcript import MemoryStore, Message, Store


@dataclass(frozen=True)
class Parcel:
    """One message on its way: the ``place``-th that is sent in ``round``, by the script that all parties run."""

    round: int
    place: int
    receivers: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training left: weights and moments of each model, and what its passes measured."""

    models: tuple[tuple[Part, Part], ...]
    epochs: tuple[Epoch, ...]


Closed = Callable[[RoundOutcome, Sequence[Message]], None]


class Waits(Exception):
    """The round needs a message that has not arrived."""


@dataclass(frozen=True, eq=False)
class Seat(Environment):
    """The environment of ``party`` alone: of others it has no private records, and their work is not done.

    ``done``: its own trainings of the present round, by name, so that a round taken up again does none twice.
    """

    party: str = SERVER
    done: dict[tuple[str | int, ...], Trained] = field(default_factory=dict)

    def private(self, client: int, round: int) -> Records:
        found = super().private(client, round)
        return found if client_name(client) == self.party else Records(found.x[:0], found.y[:0], found.guarded)

    def played(
        self, client: int, name: tuple[str | int, ...], learners: Sequence[Learner], fit: Callable[[], list[Epoch]]
    ) -> list[Epoch]:
        if self.party != (client_name(client) if client >= 0 else SERVER):
            return []
        if name not in self.done:
            epochs = fit()
            self.done[name] = Trained(tuple((one.weights(), one.moments()) for one in learners), tuple(epochs))
        else:
            for learner, (weights, moments) in zip(learners, self.done[name].models, strict=True):
                learner.become(weights, moments)
        return list(self.done[name].epochs)


class Office(Channel):
    """The channel of ``party`` in one round: what it sends is collected, what it is sent is there or is waited for."""

    def __init__(self, party: str, arrived: Mapping[int, bytes], *channel: Any) -> None:
        super().__init__(*channel)
        self.party, self._arrived = party, arrived
        self.leaving: list[Parcel] = []
        self._place = -1

    def send(self, sender: str, receivers: str | Sequence[str], payload: PayloadT, purpose: str = "") -> PayloadT:
        """As :meth:`Channel.send`. Raises :class:`Waits` for what has not arrived; what is none of the party's
        business comes back in the right form, and means nothing."""
        self._place += 1
        names = (receivers,) if isinstance(receivers, str) else tuple(receivers)
        if sender == self.party:
            copy = super().send(sender, names, payload, purpose)
            self.leaving.append(Parcel(self.round, self._place, names, self._store.get(self.messages[-1].digest)))
            return copy
        if self.party not in names:
            return cast("PayloadT", decode(encode(self._defended(payload, sender))))
        if self._place not in self._arrived:
            raise Waits
        data = self._arrived[self._place]
        digest = hashlib.sha256(data).hexdigest()
        self._store.put(digest, data)
        found = decode(data)
        sizes = (value_bytes(data), len(data))
        self.messages += [Message(self.round, sender, name, found.kind, *sizes, digest, purpose) for name in names]
        return cast("PayloadT", found)


class Party:
    """``name`` in a federation: it takes in what has arrived and says what leaves, round after round.

    ``store`` keeps the contents of messages. ``saved``: what :meth:`saved` of the same party returned before.
    """

    def __init__(
        self,
        protocol: FederatedProtocol,
        env: Environment,
        name: str,
        defense: Defense | None = None,
        store: Store | None = None,
        saved: bytes = b"",
    ) -> None:
        self.protocol, self.name, self._defense = protocol, name, defense
        self._store = MemoryStore() if store is None else store
        env = engine.checked(protocol, env, defense)[0]
        self.env = Seat(**{**vars(env), "party": name})
        self._arrived: dict[int, dict[int, bytes]] = {}
        self._gone: set[int] = set()
        if saved:
            self._restore(saved)
        else:
            self.state = protocol.init(env).state

    @property
    def over(self) -> bool:
        """Whether all rounds are."""
        return self.state.round == self.env.rounds

    def advance(self, parcels: Iterable[Parcel] = (), closed: Closed = lambda outcome, messages: None) -> list[Parcel]:
        """Take in ``parcels``, go on as far as that allows, and return what leaves now.

        ``closed`` is told of every round that is over by then, with the messages that the party sent or received.
        Raises Diverged as :func:`fedprivacy.federation.engine.run` does.
        """
        for one in parcels:
            self._arrived.setdefault(one.round, {})[one.place] = one.data
        leaving: list[Parcel] = []
        while not self.over:
            number, before = self.state.round + 1, self.state
            arrived = self._arrived.get(number, {})
            office = Office(self.name, arrived, number, self._store, self._defense, engine.held(before))
            try:
                outcome: RoundOutcome | None = self.protocol.round(before, number, self.env, office)
            except Waits:
                outcome = None
            leaving += [one for one in office.leaving if one.place not in self._gone]
            self._gone |= {one.place for one in office.leaving}
            if outcome is None:
                break
            engine.assert_finite(outcome, before)
            closed(outcome, office.messages)
            self._arrived.pop(number, None)
            self._gone.clear()
            self.env.done.clear()
            self.state = outcome.state
        return leaving

    def models(self) -> Mapping[str, tuple[str, Part]]:
        """Its own models, and those of nobody in particular as far as it knows them."""
        found = self.protocol.models(self.state, self.env)
        return {owner: model for owner, model in found.items() if owner == self.name or not owner.startswith("client-")}

    def saved(self) -> bytes:
        """All that it needs to go on in another process: safetensors."""
        tensors = {f"state/{part}/{n}": t for part, content in self.state.parts.items() for n, t in content.items()}
        done = []
        for i, (name, trained) in enumerate(self.env.done.items()):
            for j, both in enumerate(trained.models):
                for k, content in enumerate(both):
                    tensors |= {f"done/{i}/{j}/{k}/{n}": t for n, t in content.items()}
            done.append([list(name), len(trained.models), [[one.loss, one.accuracy] for one in trained.epochs]])
        arrived = []
        for number, contents in self._arrived.items():
            for place, data in contents.items():
                tensors[f"arrived/{number}/{place}"] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
                arrived.append([number, place])
        more = {"round": self.state.round, "parts": list(self.state.parts), "done": done, "arrived": arrived}
        header = {"party": json.dumps({**more, "gone": sorted(self._gone)})}
        return safetensors.torch.save(unshared(tensors), header)

    def _restore(self, saved: bytes) -> None:
        length = int.from_bytes(saved[:8], "little")
        more = json.loads(json.loads(saved[8 : 8 + length])["__metadata__"]["party"])
        tensors = safetensors.torch.load(saved)

        def below(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        self.state = FederationState(more["round"], {part: below(f"state/{part}/") for part in more["parts"]})
        for i, (name, models, epochs) in enumerate(more["done"]):
            both = tuple((below(f"done/{i}/{j}/0/"), below(f"done/{i}/{j}/1/")) for j in range(models))
            self.env.done[tuple(name)] = Trained(both, tuple(Epoch(*one) for one in epochs))
        for number, place in more["arrived"]:
            data = tensors[f"arrived/{number}/{place}"].numpy().tobytes()
            self._arrived.setdefault(number, {})[place] = data
        self._gone = set(more["gone"])
