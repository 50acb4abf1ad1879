"""The wire as the author of a federation uses it: ``wire.sent(round, sender, receiver, ...)`` for all that crosses.

What is sent is encoded and logged as everywhere else, after the defense where there is one. A loop goes on with what
arrived (:class:`Arrived`), so that a defense changes the federation and not only the log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedprivacy.config.base import UsageError
from fedprivacy.data.records import Ids
from fedprivacy.federation.own.arrays import tensor_of
from fedprivacy.federation.own.deal import Deal, state_of
from fedprivacy.wire.channel import Channel, Outgoing
from fedprivacy.wire.parties import SERVER, client_index, client_name
from fedprivacy.wire.payload import Payload, Predictions, Scalars, Update, Weights
from fedprivacy.wire.transcript import Message, PublicFold, Store

FORMS = ("probabilities", "logits", "labels", "losses")
"""Contents of :meth:`Wire.sent` that are predictions on the public fold of the round."""

CONTENTS = ("weights", "update", "scalars", "payload", *FORMS)

Model = nn.Module | Mapping[str, Any] | Sequence[Any]
"""A module, named tensors or arrays, or arrays in the order of the game's model (as Flower hands them over)."""

Closed = Callable[[int, Sequence[Message], Sequence[PublicFold]], None]
"""Told of every whole round: its number, messages and public folds."""


class Arrived:
    """What the receivers of a message decoded: ``tensors`` by name, or ``values`` [N, C] of predictions."""

    def __init__(self, payload: Payload) -> None:
        self._payload, self.opened = payload, False

    @property
    def payload(self) -> Payload:
        """The payload itself."""
        self.opened = True
        return self._payload

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Weights, an update or numbers, by name."""
        found = self.payload
        if not isinstance(found, Weights | Update | Scalars):
            raise UsageError(f"wire: {found.kind} arrived, which have values and no tensors.")
        return dict(found.tensors)

    @property
    def values(self) -> Tensor:
        """Predictions, one row a record."""
        found = self.payload
        if not isinstance(found, Predictions):
            raise UsageError(f"wire: {found.kind} arrived, which have tensors and no values.")
        return found.values


class Wire:
    """All that crosses between the parties of one federation, round after round."""

    def __init__(
        self,
        game: Deal,
        store: Store,
        defense: Outgoing | None = None,
        closed: Closed = lambda round, messages, folds: None,
    ) -> None:
        self.game, self._store, self._defense, self._closed = game, store, defense, closed
        self.round = 0
        """The round of the last message."""
        self._over = 0
        self.start: dict[str, Tensor] | None = None
        """The weights that everybody was given before round 1."""
        self.newest: dict[str, dict[str, Tensor]] = {}
        """The newest weights that each party sent."""
        self.final: dict[str, dict[str, Tensor]] = {}
        """Models to test, by owner."""
        self.unread: Message | None = None
        """A client's message whose arrival the loop did not look at; None where it went on with all of them."""
        self._messages: list[Message] = []
        self._folds: dict[int, PublicFold] = {}
        self._held: dict[str, Mapping[str, Tensor]] = {}
        self._arrived: list[tuple[Message, Arrived]] = []

    @property
    def everyone(self) -> tuple[str, ...]:
        """All clients, as receivers."""
        return tuple(map(client_name, range(self.game.clients)))

    def started(self, weights: Model) -> dict[str, Tensor]:
        """Say that everybody begins from ``weights``, which are no secret; returned as named tensors."""
        if self.round:
            raise UsageError("wire.started: the common start comes before the first message.")
        self.start = self.named(weights)
        self._held = dict.fromkeys((SERVER, *self.everyone), self.start)
        return dict(self.start)

    def sent(
        self,
        round: int,
        sender: str,
        receiver: str | Sequence[str],
        *,
        of: str = "",
        purpose: str = "",
        records: Ids | None = None,
        **content: Any,
    ) -> Arrived:
        """Log one message and return what arrived. Exactly one content is given.

        ``round`` counts from 1 and never falls; parties are ``server``, ``client-0``, ... Contents: ``weights``, a
        model after training, or the server's; ``update``, end minus start of local training; ``probabilities``,
        ``logits`` [N, C], ``labels`` or ``losses`` [N], predictions on the public fold of the round in its order, or
        on ``records`` (ids); ``scalars``, named numbers (``{"records": 57}`` of purpose ``n_k``); ``payload``, a
        payload type. ``of``: whose message a server passes on. Raises UsageError for what cannot be.
        """
        given = {name: value for name, value in content.items() if value is not None}
        unknown = set(given) - set(CONTENTS)
        if len(given) != 1 or unknown:
            what = " and ".join(given) or "nothing"
            raise UsageError(f"wire.sent: got {what}; one content a message, of {', '.join(CONTENTS)}.")
        receivers = [receiver] if isinstance(receiver, str) else list(receiver)
        self._check(round, sender, receivers, of)
        ((name, value),) = given.items()
        payload = self._payload(round, sender, name, value, records)
        if round > self.round:
            self._whole()
        self.round = round
        channel = Channel(round, self._store, self._defense, self._start_of)
        got = channel.send(sender, receivers, payload, f"of {of}" if of else purpose)
        self._messages += channel.messages
        if isinstance(got, Weights):
            self._held |= dict.fromkeys(receivers, got.tensors)
            self.newest[sender] = {**self.newest.get(sender, {}), **got.tensors}
        found = Arrived(got)
        self._arrived.append((channel.messages[0], found))
        return found

    def ended(self, owner: str, model: Model) -> None:
        """Say which model ``owner`` ends with, so that its utility is told: ``client-3``, ``server`` or ``global``."""
        self.final[owner] = self.named(model, client_index(owner) if owner.startswith("client-") else 0)

    def whole(self) -> None:
        """Say that nothing more comes in this round, so that it is written; the next message begins another."""
        self._whole()
        self._over = self.round

    def close(self) -> None:
        """The federation is over: the last round is whole."""
        self._whole()

    def _whole(self) -> None:
        if self.round == self._over:
            return
        for message, arrived in self._arrived:
            if message.sender != SERVER and not arrived.opened:
                self.unread = self.unread or message
        if self.round:
            self._closed(self.round, self._messages, [self._folds[self.round]] if self.round in self._folds else [])
        self._messages, self._arrived = [], []

    def _start_of(self, party: str) -> Mapping[str, Tensor]:
        if party not in self._held:
            raise UsageError(
                f"wire.sent: a defense acts on the change of {party}'s weights, and what it started from never crossed "
                "the wire; say it by wire.started(...), or send the server's weights first."
            )
        return self._held[party]

    def _check(self, round: int, sender: str, receivers: Sequence[str], of: str) -> None:
        parties = (SERVER, *self.everyone)
        for party in (sender, *receivers, *([of] if of else [])):
            if party not in parties:
                raise UsageError(f"wire.sent: no party '{party}' exists; there are server, client-0 to {parties[-1]}.")
        if not receivers or sender in receivers:
            raise UsageError(f"wire.sent: {sender} sends to {'itself' if receivers else 'nobody'}.")
        if type(round) is not int or round < 1 or round < self.round:
            raise UsageError(f"wire.sent: round {round!r} after round {self.round}; they count from 1 and never fall.")
        if round == self._over:
            raise UsageError(f"wire.sent: round {round} was said to be whole; say wire.whole() after its last message.")
        if round > self.game.rounds:
            raise UsageError(f"wire.sent: round {round}, and this game has {self.game.rounds}; go by game.rounds.")

    def _payload(self, round: int, sender: str, name: str, value: Any, records: Ids | None) -> Payload:
        if name in FORMS:
            return self._predictions(round, name, value, records)
        if name == "payload":
            return value  # type: ignore[no-any-return]
        if name == "scalars":
            return Scalars({str(key): torch.as_tensor(number) for key, number in value.items()})
        tensors = self.named(value, 0 if sender == SERVER else client_index(sender))
        return Weights(tensors) if name == "weights" else Update(tensors)

    def _predictions(self, round: int, form: str, value: Any, records: Ids | None) -> Predictions:
        values = tensor_of(value)
        values = values.reshape(len(values), -1)
        ids = self.game.public_ids(round) if records is None else np.asarray(records, dtype=np.int64)
        if len(values) != len(ids):
            raise UsageError(
                f"wire.sent: {form} for {len(values)} records, and the public fold of round {round} has {len(ids)}; "
                "predict on game.public(round), all of it, in its order."
            )
        known = self._folds.get(round)
        if known is None:
            self._folds[round] = self._fold(round, ids)
        elif not np.array_equal(known.records, ids):
            raise UsageError(f"wire.sent: round {round} has predictions on two sets of records; use two rounds.")
        return Predictions(values.long() if form == "labels" else values.float(), form)  # type: ignore[arg-type]

    def _fold(self, round: int, ids: Ids) -> PublicFold:
        """A fold is delivered to every client once; who has it already needs no second delivery."""
        told = any(np.array_equal(fold.records, ids) for fold in self._folds.values())
        size = 0 if told else int(self.game.env.dataset.x_train[ids].nbytes)
        return PublicFold(round, ids, False, size, self.game.clients)

    def named(self, value: Model, client: int = 0) -> dict[str, Tensor]:
        """The tensors of a model by name; arrays in order get the names of ``client``'s model. UsageError else."""
        if isinstance(value, nn.Module | Mapping):
            return state_of(value)
        names = list(self.game.env.workbench.module(self.game.env.architecture(client)).state_dict())
        if len(names) != len(value):
            raise UsageError(f"wire: {len(value)} arrays for a model of {len(names)} tensors; send a mapping of names.")
        return state_of(dict(zip(names, value, strict=True)))
