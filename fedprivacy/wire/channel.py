"""The only way from one party to another, and what a defense may do on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from torch import Tensor

from fedprivacy.wire.codec import decode, encode, value_bytes
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Payload, PayloadT, Update, Weights
from fedprivacy.wire.transcript import Message, Store


class Outgoing(Protocol):
    """A defense that stands between a client and the wire; returns what is really sent."""

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload: ...


@runtime_checkable
class OnUpdates(Outgoing, Protocol):
    """A defense that acts on the change of the weights since the round began, also where weights are sent."""

    def outgoing_update(self, update: Update, sender: str, round: int) -> Update: ...


@runtime_checkable
class OnRelays(Outgoing, Protocol):
    """A defense that also acts on what the server sends, such as an encoding used in both directions."""

    def relayed(self, payload: Payload, round: int) -> Payload: ...


@runtime_checkable
class Aggregator(Outgoing, Protocol):
    """A defense that takes the server's place where it merges what the clients of a round sent."""

    def combined(self, received: Mapping[str, Payload], channel: Channel) -> Payload: ...


class Channel:
    """The only way from one party to another in a round.

    :meth:`send` applies the defense to what a client sends, encodes, logs, and returns what the receiver decodes.
    ``start`` gives the weights that a party held when the round began; they must be known to the receiver.
    """

    def __init__(
        self,
        round: int,
        store: Store,
        defense: Outgoing | None = None,
        start: Callable[[str], Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.round, self._store, self._defense, self._start = round, store, defense, start
        self.messages: list[Message] = []

    def send(self, sender: str, receivers: str | Sequence[str], payload: PayloadT, purpose: str = "") -> PayloadT:
        """Send ``payload`` and return the receivers' copy; several receivers are several messages."""
        data = encode(self._defended(payload, sender))
        digest = hashlib.sha256(data).hexdigest()
        self._store.put(digest, data)
        sizes = (value_bytes(data), len(data))
        names = [receivers] if isinstance(receivers, str) else receivers
        copy = decode(data)
        self.messages += [Message(self.round, sender, name, copy.kind, *sizes, digest, purpose) for name in names]
        return cast("PayloadT", copy)

    @property
    def aggregates(self) -> bool:
        """Whether the defense merges in the server's place."""
        return isinstance(self._defense, Aggregator)

    def combined(self, received: Mapping[str, PayloadT], mean: Callable[[], PayloadT]) -> PayloadT:
        """What the server makes of what the participants (by name) sent: ``mean()``, unless the defense merges."""
        if isinstance(self._defense, Aggregator):
            return cast("PayloadT", self._defense.combined(received, self))
        return mean()

    def _defended(self, payload: Payload, sender: str) -> Payload:
        if self._defense is None:
            return payload
        if sender == SERVER:
            return self._defense.relayed(payload, self.round) if isinstance(self._defense, OnRelays) else payload
        if isinstance(payload, Weights) and isinstance(self._defense, OnUpdates):
            if self._start is None:
                raise ValueError("the defense acts on updates: the channel needs the weights at the start of the round")
            start = self._start(sender)
            update = change(start, payload.tensors)
            return Weights(moved(start, payload.tensors, self._defense.outgoing_update(update, sender, self.round)))
        return self._defense.outgoing(payload, sender, self.round)


def change(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> Update:
    """``end - start`` of the floating-point tensors of ``end``."""
    return Update({name: t - start[name] for name, t in end.items() if t.is_floating_point()})


def moved(start: Mapping[str, Tensor], end: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
    """The tensors of ``end``, each ``start + update``; counters stay as at the start, since they tell of the data."""
    return {name: start[name] + update.tensors[name] if name in update.tensors else start[name] for name in end}
