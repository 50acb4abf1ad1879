"""Traps: a dishonest server sends rows that each fire on one candidate, and reads which of them moved.

The first transcript of the view is the honest run; each further one holds alternative rounds in which the server sent a
model with traps (:mod:`fedprivacy.attacks.membership.traps`). What that does to the model, and how far it stands out,
is told with the scores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fedprivacy.adversary.threat import View
from fedprivacy.attacks.membership.models_on_wire import broadcast_models, uploads
from fedprivacy.attacks.membership.traps.layer import TrapLayer, layer_inputs
from fedprivacy.attacks.membership.traps.model import HEAD
from fedprivacy.attacks.membership.traps.reading import Moved, moved, standardised
from fedprivacy.attacks.membership.traps.served import Served
from fedprivacy.federation.environment import Part
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.training.losses import predicted_class
from fedprivacy.wire.codec import same_bits
from fedprivacy.wire.parties import client_name
from fedprivacy.wire.transcript import Transcript

ASKED, QUESTIONS = "candidates asked about", "rounds of questions"
FORGED, HONEST = "accuracy of the forged model", "accuracy of the honest model"
AWAY = "distance of the forged model from the honest one, over the norm of that"
USUAL = "what the honest model had moved since the server's message before, over its norm"


@dataclass(frozen=True)
class Traps:
    """Sources are the clients, or their mean where a defense shows nothing else; rounds are those that were read."""

    name: ClassVar[str] = "traps"
    needs_start: ClassVar[bool] = True
    reads_traps: ClassVar[bool] = True
    alone: ClassVar[bool] = True
    """It needs no reference: what untouched rows do is told by the same round."""

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        reader = _Reader(knowledge, view.transcripts[0])
        read = [found for number, one in enumerate(view.transcripts[1:]) for found in reader.read(number, one)]
        if not read:
            raise ValueError("no model with traps came back from a client")
        sources = 1 if read[0].client is None else knowledge.wire.federation.clients
        rounds = sorted({one.round for one in read})
        scores = np.full((sources, len(rounds), len(knowledge.candidates)), np.nan)
        for one in standardised(read):
            asked = reader.served.candidates[one.records[~one.decoys]]
            scores[one.client or 0, rounds.index(one.round), asked] = one.values[~one.decoys]
        notes = (*_room(read, scores.shape[2]), *_unread(read, sources))
        return Observed.decoded(scores, notes, _cost(read, reader.looks))


@dataclass(frozen=True)
class Looks:
    """How a forged model looks beside the honest one of its round.

    ``right`` and ``honest_right``: shares of the adversary's own records, NaN where it has none. ``distance``: L2
    between both; ``size``: L2 of the honest one; ``usual``: what the honest one moved since the server's last message.
    """

    right: float
    honest_right: float
    distance: float
    size: float
    usual: float


class _Reader:
    """Reads alternatives against the models that the clients had before them."""

    def __init__(self, knowledge: Knowledge, honest: Transcript) -> None:
        self._knowledge, self.served = knowledge, Served(knowledge, honest)
        self._read: tuple[TrapLayer, Part, Tensor] | None = None
        self.looks: list[Looks] = []

    def read(self, number: int, alternative: Transcript) -> list[Moved]:
        """What came back: the first model of each client that started from traps, or the mean of all."""
        first = alternative.messages[0].round
        found: dict[int | None, Moved] = {}
        for round, client, before, after in self._pairs(alternative, first):
            layer = self.served.layer(client or 0)
            if client in found or layer.weight not in after:
                continue
            module = self.served.module(client or 0)
            if set(before) != set(module.state_dict()):
                raise ValueError("some layers of the model with traps are not known, so it cannot be queried")
            module.load_state_dict(dict(before))
            data, ids = self._knowledge.dataset, self.served.ids
            inputs, (x, y) = self._inputs(module, layer, before), (data.x_train[ids], data.y_train[ids])
            records, values, floor = moved(module, layer, inputs, before, after, x, y)
            if not len(records):
                continue
            decoys = records >= len(self.served.candidates)
            found[client] = Moved(number, round, client, records, values, decoys, floor)
            if len(found) == 1:
                self.looks.append(self._look(client or 0, round, before))
        return list(found.values())

    def _pairs(self, alternative: Transcript, first: int) -> Iterator[tuple[int, int | None, Part, Part]]:
        """(round, client, a model with traps, what became of it); client None for the mean of all."""
        told = False
        for client in range(self._knowledge.wire.federation.clients):
            name, start = client_name(client), self.served.held(client, first - 1)
            own = alternative.restricted(lambda message, name=name: message.visible_to(name))  # type: ignore[misc]
            for round, _, before, after in uploads(own, start):
                told = True
                if not same_bits(before, start):
                    yield round, client, before, after
        if not told:
            sent = list(broadcast_models(alternative, False, None, self.served.held(0, first - 1)))
            if len(sent) > 1:
                yield sent[-1].round, None, sent[-2].weights, sent[-1].weights

    def _inputs(self, module: nn.Module, layer: TrapLayer, before: Part) -> Tensor:
        """What the layer reads of all known records; kept as long as what lies before it is the same."""
        rest = {key: t for key, t in before.items() if key not in (layer.weight, layer.bias, HEAD)}
        if self._read is None or self._read[0] != layer or not same_bits(self._read[1], rest):
            read = layer_inputs(module, layer, self._knowledge.dataset.x_train[self.served.ids])
            self._read = (layer, rest, read)
        return self._read[2]

    def _look(self, client: int, read: int, forged: Part) -> Looks:
        """What a client that was read in round ``read`` had been sent, beside the honest model of that time."""
        honest, last = self.served.held(client, read - 1), self.served.held(client, read - 2)
        right, honest_right = (self._right(client, weights) for weights in (forged, honest))
        distances = _distance(forged, honest), _distance(honest, {}), _distance(honest, last)
        return Looks(right, honest_right, *distances)

    def _right(self, client: int, weights: Part) -> float:
        ids, data = self._knowledge.auxiliary, self._knowledge.dataset
        if not len(ids):
            return float("nan")
        logits = self._knowledge.workbench.logits(self.served.name(client), weights, data.x_train[ids])
        return float((predicted_class(logits).numpy() == data.y_train[ids]).mean())


def _distance(one: Part, other: Part) -> float:
    """L2 over all floating-point tensors; a tensor that ``other`` lacks counts as zeros."""
    parts = [t.double() - (other[n].double() if n in other else 0) for n, t in one.items() if t.is_floating_point()]
    return float(torch.stack([part.square().sum() for part in parts]).sum().sqrt())


def _room(read: Sequence[Moved], n: int) -> list[str]:
    """How many candidates were asked about, and for how many one real run has room."""
    number, rounds = len({one.number for one in read}), sorted({one.round for one in read})
    asked = len(np.unique(np.concatenate([one.records[~one.decoys] for one in read])))
    when = f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"
    room = max(int((~one.decoys).sum()) for one in read)
    told = f"{asked} of {n} candidates asked about in {number} alternative runs, read in {when}"
    return [f"{told}; one real run has room for {room} questions in a round"]


def _unread(read: Sequence[Moved], clients: int) -> list[str]:
    """Who could not be asked: a client at its first job all along was sent nothing that it returned."""
    seen = {one.client for one in read}
    missing = [client_name(client) for client in range(clients) if client not in seen]
    return [f"not asked: {', '.join(missing)}, back with nothing that had been sent"] if missing and clients > 1 else []


def _cost(read: Sequence[Moved], looks: Sequence[Looks]) -> dict[str, float]:
    """How much was asked, what the forged models do to utility, and how conspicuous they are: means over all runs."""
    mean = Looks(*(float(np.mean([getattr(one, field.name) for one in looks])) for field in fields(Looks)))
    told = {
        ASKED: float(len(np.unique(np.concatenate([one.records[~one.decoys] for one in read])))),
        QUESTIONS: float(len({one.number for one in read})),
        FORGED: mean.right,
        HONEST: mean.honest_right,
        AWAY: mean.distance / mean.size,
        USUAL: mean.usual / mean.size,
    }
    return {name: value for name, value in told.items() if np.isfinite(value)}
