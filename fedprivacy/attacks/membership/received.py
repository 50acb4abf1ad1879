"""Reading predictions out of a view: who answered what, in which round, and what the server made of it.

No model object is in reach. A client's first predictions on a fold precede any training on it. The first transcript of
a view is the run; further ones are alternative last rounds of it, so what came before them lies in the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedprivacy.adversary.threat import View
from fedprivacy.data.records import Ids
from fedprivacy.training.label_coding import decoded
from fedprivacy.training.quantisation import dequantised
from fedprivacy.wire.parties import SERVER, client_index
from fedprivacy.wire.payload import Predictions
from fedprivacy.wire.payloads import CodedLabels
from fedprivacy.wire.transcript import Message, Transcript

AGGREGATE = -1
"""The server's number where it speaks for several clients."""

KINDS = (Predictions.kind, CodedLabels.kind)


@dataclass(frozen=True, eq=False)
class Answer:
    """Predictions on one public fold: of one client, or of the server for several (:data:`AGGREGATE`)."""

    round: int
    client: int
    records: Ids
    labelled: bool
    payload: Predictions
    purpose: str = ""


def origin(message: Message) -> int | None:
    """The client whose model a message speaks of: its sender, or the one a relay names; None for aggregates."""
    return None if message.author == SERVER else client_index(message.author)


def answers(view: View, wanted: Collection[int] | None = None) -> Iterator[Answer]:
    """Every client's first predictions on every fold in the view, each once, in transcript order.

    ``wanted``: only folds with one of these records.
    """
    for answer in _all(view, wanted):
        if answer.client != AGGREGATE:
            yield answer


def aggregates(view: View) -> Iterator[Answer]:
    """What the server sent as its own or as a mean, once a round."""
    for answer in _all(view, None):
        if answer.client == AGGREGATE:
            yield answer


def _all(view: View, wanted: Collection[int] | None) -> Iterator[Answer]:
    before: dict[str, NDArray[np.int64]] = {}
    for number, transcript in enumerate(view.transcripts):
        folds = {fold.round: fold for fold in transcript.folds}
        asked = {t: wanted is None or any(int(r) in wanted for r in f.records) for t, f in folds.items()}
        told: set[tuple[int, int]] = set()
        last = dict(before)
        for message in transcript.messages:
            if message.kind not in KINDS or message.round not in folds:
                continue
            client = origin(message)
            key = (message.round, AGGREGATE if client is None else client)
            if key in told or not (asked[message.round] or message.kind == CodedLabels.kind):
                continue
            told.add(key)
            payload = _opened(transcript, message, last)
            if asked[message.round]:
                fold = folds[message.round]
                yield Answer(message.round, key[1], fold.records, fold.labelled, payload, message.purpose)
        if number == 0:
            before = last


def _opened(transcript: Transcript, message: Message, last: dict[str, NDArray[np.int64]]) -> Predictions:
    """The predictions in a message, labels where nothing else was sent; ``last`` as in :func:`arrived`."""
    found, bits = arrived(transcript, message, last)
    return Predictions(found.values.argmax(dim=1, keepdim=True), "labels") if bits == 1 else found


def arrived(
    transcript: Transcript, message: Message, last: dict[str, NDArray[np.int64]]
) -> tuple[Predictions, int | None]:
    """The predictions that a receiver works with, and the bits of one probability where labels were coded.

    ``last`` holds the labels of each sender that changes are coded against, and is brought up to date.
    """
    payload = transcript.payload(message)
    if isinstance(payload, Predictions):
        return payload, None
    assert isinstance(payload, CodedLabels)
    levels = decoded(payload, last.get(message.sender) if payload.delta else None)
    last[message.sender] = levels
    return Predictions(torch.from_numpy(dequantised(levels, payload.bits)), "probabilities"), payload.bits


def seen_before(view: View) -> dict[int, int]:
    """Record id -> first round in which it stood in a public fold of the view."""
    first: dict[int, int] = {}
    for transcript in view.transcripts:
        for fold in transcript.folds:
            for record in np.asarray(fold.records).tolist():
                first[record] = min(first.get(record, fold.round), fold.round)
    return first
