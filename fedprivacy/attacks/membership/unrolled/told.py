"""What one client was sent, as an adversary that sees the wire in part can put it together.

A server sees what it sent. A peer under all-peers relaying received the same vectors about others that the target did,
and sent its own; a consensus went to everybody alike. Means that leave the receiver out are seen by their receiver and
by the server alone. Of several messages to a client about one peer in a round the last counts.

Where clients act in turn, a client was told anew by those before it, and by nobody after it. A peer sees the newer
messages of those before itself alone: of anybody between it and a later client it has the first ones, and that client
had more (``unseen``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.adversary.threat import View
from fedprivacy.attacks.membership.received import KINDS, arrived, origin
from fedprivacy.data.records import Dataset
from fedprivacy.federation.course import TOGETHER, Heard
from fedprivacy.training.learner import Records
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions, Weights
from fedprivacy.wire.transcript import Message

TO_EVERYBODY = ("consensus", "mean", "")
"""Purposes of predictions that the server sends to all participants alike."""


@dataclass
class _Round:
    """What is known of one round so far."""

    answered: bool = False
    told: dict[int, Predictions] = field(default_factory=dict)
    others: dict[int, list[Predictions]] = field(default_factory=dict)
    weights: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)


def heard(view: View, client: int, dataset: Dataset, in_turn: bool = False) -> dict[int, Heard]:
    """What ``client`` was sent, by round; round 0 where a public fold was delivered before the first.

    ``in_turn``: whether clients act one after the other in a round (``wire.release.Release.in_turn``).
    Alternative last rounds, the further transcripts of a view, add nothing but that the client answered in them.
    """
    rounds: dict[int, _Round] = {}
    folds: dict[int, NDArray[np.int64]] = {}
    last: dict[str, NDArray[np.int64]] = {}
    turn = client if in_turn else None
    for transcript in view.transcripts:
        for fold in transcript.folds:
            folds.setdefault(fold.round, fold.records)
        for message in transcript.messages:
            found = rounds.setdefault(message.round, _Round())
            if message.kind in KINDS:
                _predictions(found, arrived(transcript, message, last)[0], message, client)
            elif message.kind == Weights.kind and message.sender == SERVER:
                payload = transcript.payload(message)
                assert isinstance(payload, Weights)
                found.weights[message.purpose] = payload.tensors
    return {
        number: _heard(number, rounds.get(number, _Round()), Records(dataset.x_train[ids], dataset.y_train[ids]), turn)
        for number, ids in folds.items()
    }


def _predictions(found: _Round, sent: Predictions, message: Message, client: int) -> None:
    about = origin(message)
    if about == client:
        found.answered = True
    elif message.receiver == client_name(client):
        found.told[TOGETHER if about is None else about] = sent
    elif about is not None:
        found.others.setdefault(about, []).append(sent)
    elif message.purpose in TO_EVERYBODY:
        found.others.setdefault(TOGETHER, []).append(sent)


def _heard(number: int, found: _Round, fold: Records, turn: int | None) -> Heard:
    """Where the client's own messages are in sight they are all that it was told; else what went to everybody.

    ``turn``: the client's place, where clients act in turn.
    """
    told, unseen = found.told, frozenset[int]()
    if not told and TOGETHER in found.others:
        told = {TOGETHER: found.others[TOGETHER][-1]}
    elif not told:
        told = {peer: said[-1 if turn is None or peer < turn else 0] for peer, said in found.others.items()}
        unseen = frozenset(p for p, said in found.others.items() if turn is not None and p < turn and len(said) == 1)
    return Heard(number, fold, found.answered, dict(sorted(told.items())), found.weights, unseen)
