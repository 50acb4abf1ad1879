"""What one client was sent, as an adversary that sees the wire in part can put it together.

A server sees what it sent. A peer under all-peers relaying received the same vectors about others that the target did,
and sent its own; a consensus went to everybody alike. Means that leave the receiver out are seen by their receiver and
by the server alone. Of several messages about one peer in a round the last counts: a client that acts later in a
sequential round was told the newer ones.
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
    others: dict[int, Predictions] = field(default_factory=dict)
    weights: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)


def heard(view: View, client: int, dataset: Dataset) -> dict[int, Heard]:
    """What ``client`` was sent, by round; round 0 where a public fold was delivered before the first.

    Alternative last rounds, the further transcripts of a view, add nothing but that the client answered in them.
    """
    rounds: dict[int, _Round] = {}
    folds: dict[int, NDArray[np.int64]] = {}
    last: dict[str, NDArray[np.int64]] = {}
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
    return {number: _heard(number, rounds.get(number, _Round()), ids, dataset) for number, ids in folds.items()}


def _predictions(found: _Round, sent: Predictions, message: Message, client: int) -> None:
    about = origin(message)
    if about == client:
        found.answered = True
    elif message.receiver == client_name(client):
        found.told[TOGETHER if about is None else about] = sent
    elif about is not None:
        found.others[about] = sent
    elif message.purpose in TO_EVERYBODY:
        found.others[TOGETHER] = sent


def _heard(number: int, found: _Round, ids: NDArray[np.int64], dataset: Dataset) -> Heard:
    """Where the client's own messages are in sight they are all that it was told; else what went to everybody."""
    told = found.told or ({TOGETHER: found.others[TOGETHER]} if TOGETHER in found.others else found.others)
    fold = Records(dataset.x_train[ids], dataset.y_train[ids])
    return Heard(number, fold, found.answered, dict(sorted(told.items())), found.weights)
