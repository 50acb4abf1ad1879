"""Reading predictions and weights out of a view: who answered what, in which round. No model object is in reach."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fedprivacy.data.records import Ids
from fedprivacy.threat import View
from fedprivacy.wire import SERVER, Message, Predictions, Transcript, Weights, client_index


@dataclass(frozen=True, eq=False)
class Answer:
    """One client's predictions on one public fold."""

    round: int
    client: int
    records: Ids
    labelled: bool
    payload: Predictions


def origin(message: Message) -> int | None:
    """The client whose model a message speaks of: its sender, or the one a relay names; None for aggregates."""
    if message.sender != SERVER:
        return client_index(message.sender)
    named = re.fullmatch(r"of client-(\d+)", message.purpose)
    return int(named[1]) if named else None


def answers(view: View) -> Iterator[Answer]:
    """Every client's first predictions on every fold in the view, each once, in transcript order."""
    for transcript in view.transcripts:
        folds = {fold.round: fold for fold in transcript.folds}
        told: set[tuple[int, int]] = set()
        for message in transcript.messages:
            client = origin(message)
            if message.kind != Predictions.kind or client is None or (message.round, client) in told:
                continue
            told.add((message.round, client))
            payload, fold = transcript.payload(message), folds[message.round]
            assert isinstance(payload, Predictions)
            yield Answer(message.round, client, fold.records, fold.labelled, payload)


@dataclass(frozen=True, eq=False)
class Received:
    """The newest weights known of one source after a round."""

    round: int
    client: int
    weights: dict[str, Tensor]


def uploaded_weights(transcript: Transcript, last_only: bool) -> Iterator[Received]:
    """Per client and round the newest value of every tensor it has uploaded so far.

    A protocol that sends groups of layers in turn is complete only once each group has come; the caller checks.
    """
    yield from _weights(transcript, last_only, lambda m: m.sender != SERVER, lambda m: client_index(m.sender))


def global_weights(transcript: Transcript, last_only: bool) -> Iterator[Received]:
    """The newest weights that the server broadcast, after each round; client -1."""
    yield from _weights(transcript, last_only, lambda m: m.sender == SERVER, lambda _: -1)


def _weights(transcript: Transcript, last_only: bool, keep, source) -> Iterator[Received]:  # type: ignore[no-untyped-def]
    chosen = [m for m in transcript.messages if m.kind == Weights.kind and keep(m)]
    if not chosen:
        return
    final = max(m.round for m in chosen)
    known: dict[int, dict[str, Tensor]] = {}
    newest: dict[tuple[int, int, str], Message] = {(m.round, source(m), m.purpose): m for m in chosen}
    for number in sorted({m.round for m in chosen}):
        current = [(who, m) for (r, who, _), m in newest.items() if r == number]
        for who, message in current:
            payload = transcript.payload(message)
            assert isinstance(payload, Weights)
            known.setdefault(who, {}).update(payload.tensors)
        if number == final or not last_only:
            for who in sorted({who for who, _ in current}):
                yield Received(number, who, dict(known[who]))


def seen_before(view: View) -> dict[int, int]:
    """Record id -> first round in which it stood in a public fold of the view."""
    first: dict[int, int] = {}
    for transcript in view.transcripts:
        for fold in transcript.folds:
            for record in np.asarray(fold.records).tolist():
                first[record] = min(first.get(record, fold.round), fold.round)
    return first
