"""What crosses the wire in a round, read off a transcript where nobody declared it.

The same :class:`~fedprivacy.wire.release.Release` that a protocol declares, from messages alone: who sends what to
whom, whether a server passes on, averages or mixes, and whether it is known which weights a client started from. What
a transcript cannot tell, such as the loss that clients minimise, its caller says or it stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from fedprivacy.wire.codec import kind_sent, tensors_of
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Predictions, Scalars, Update, Weights
from fedprivacy.wire.release import Loss, Of, Receivers, Release
from fedprivacy.wire.transcript import Message, Transcript

COORDINATES = 2048
"""Entries of a payload that are compared, spread over all of it."""

CLOSE = 1e-4
"""Relative distance up to which a server's message counts as a mean: float32 sums in another order differ by less."""

MODELS = (Weights.kind, Update.kind)


@dataclass(frozen=True)
class Told:
    """What an observer knows beside the transcript. ``model``: names of all tensors of a client's model; ``start``: the
    common start is known; ``loss``, ``steps_known``: of local training; ``answers``: clients predict on whatever
    records the server names; ``batches``: local steps draw their records by named seeds."""

    model: frozenset[str] = frozenset()
    start: bool = False
    loss: Loss = "more"
    steps_known: bool = False
    answers: bool = False
    batches: bool = False


def release_name(message: Message) -> str:
    """What a message is called in declarations and privacy events: its kind, or the purpose of numbers."""
    return message.purpose or message.kind if message.kind == Scalars.kind else message.kind


def releases_in(transcript: Transcript, told: Told = Told()) -> tuple[Release, ...]:
    """The releases behind a transcript, in the order in which they first appear."""
    groups: dict[tuple[str, str, str, str, str], list[Message]] = {}
    crossed = {digest: kind_sent(transcript.store.get(digest)) for digest in {m.digest for m in transcript.messages}}
    for message in transcript.messages:
        sender = "server" if message.sender == SERVER else "client"
        receiver = "server" if message.receiver == SERVER else "clients" if sender == "server" else "neighbours"
        relayed = "relay" if message.passed_on else ""
        kind = crossed[message.digest]
        groups.setdefault((sender, receiver, release_name(message), kind, relayed), []).append(message)
    return tuple(_release(transcript, same, told, *key) for key, same in groups.items())


def _release(
    transcript: Transcript,
    same: Sequence[Message],
    told: Told,
    sender: str,
    receivers: str,
    name: str,
    kind: str,
    relayed: str,
) -> Release:
    first = transcript.payload(same[0])
    known: Receivers = "server" if receivers == "server" else "clients" if receivers == "clients" else "neighbours"
    found = Release(
        name,
        kind,
        opened="" if kind == same[0].kind else same[0].kind,
        sender="server" if sender == "server" else "client",
        receivers=known,
        trained_as_told=told.steps_known,
        start_told=told.start,
    )
    if isinstance(first, Predictions):
        folds = {m.round: m for m in same}
        asked = [fold.records.tolist() for fold in transcript.folds if fold.round in folds]
        found = replace(
            found,
            form=first.form,
            forms=frozenset({first.form}),
            fixed_fold=len(asked) > 1 and all(ids == asked[0] for ids in asked),
        )
    if same[0].kind in MODELS:
        found = replace(found, whole_after=_whole_after(transcript, same, told.model))
    if sender == "server":
        return replace(found, of="relay" if relayed else _mixture(transcript, same))
    if isinstance(first, Predictions):
        return replace(found, answers_queries=told.answers and receivers == "server")
    if same[0].kind not in MODELS:
        return found
    always, at_last = _starts(transcript, same, told.start)
    return replace(
        found,
        reference="received" if at_last else "",
        known_start=always,
        loss=told.loss,
        steps_known=told.steps_known,
        named_batches=told.batches,
    )


def _whole_after(transcript: Transcript, same: Sequence[Message], model: frozenset[str]) -> int | None:
    """Rounds until one party has sent every tensor of the model to one other; None where it never does."""
    one = [m for m in same if (m.sender, m.receiver) == (same[0].sender, same[0].receiver)]
    names: set[str] = set()
    rounds: list[int] = []
    for message in one:
        payload = transcript.payload(message)
        assert isinstance(payload, Weights | Update)
        if message.round not in rounds:
            rounds.append(message.round)
        names |= set(payload.tensors)
        if not model or (message.kind == Weights.kind and names >= model) or message.kind == Update.kind:
            return len(rounds)
    return None


def _starts(transcript: Transcript, same: Sequence[Message], start: bool) -> tuple[bool, bool]:
    """Whether others know what each upload started from: all of them, and those of the last round.

    They do where its sender had received a model before, or all began from a common start that is known. Who was sent
    the models of several goes on from a mixture that nobody else knows.
    """
    given: dict[str, set[str]] = {}
    spoke: set[str] = set()
    uploads = {(m.round, m.sender, m.digest) for m in same}
    known: dict[int, bool] = {}
    for message in transcript.messages:
        if message.sender == SERVER and message.kind == Weights.kind:
            if message.receiver in spoke:
                given.pop(message.receiver, None)
            spoke.discard(message.receiver)
            given.setdefault(message.receiver, set()).add(message.author)
        elif (message.round, message.sender, message.digest) in uploads:
            authors = given.get(message.sender)
            known[message.round] = known.get(message.round, True) and (start if authors is None else len(authors) == 1)
            spoke.add(message.sender)
    return all(known.values()), known[max(known)]


def _mixture(transcript: Transcript, same: Sequence[Message]) -> Of:
    """What the server's messages are of what clients sent since its last: the weakest answer over all rounds."""
    firsts = list({m.round: m for m in reversed(same)}.values())[::-1]
    found: set[Of] = set()
    sent: dict[str, NDArray[np.float64]] = {}
    for message in transcript.messages:
        if message.kind == same[0].kind and message.sender != SERVER:
            sent[message.sender] = _entries(transcript, message)
        elif message in firsts:
            if sent:
                found.add(_of(_entries(transcript, message), sent, message.receiver))
            sent = {}
    return next((of for of in reversed(_STRENGTH) if of in found), "mix")


_STRENGTH: tuple[Of, ...] = ("mean", "mean of others", "weighted", "mix")


def _of(sent: NDArray[np.float64], uploads: Mapping[str, NDArray[np.float64]], receiver: str) -> Of:
    rows = {who: row for who, row in uploads.items() if row.shape == sent.shape}
    if not rows:
        return "mix"
    stacked, size = np.stack(list(rows.values())), float(np.abs(sent).max()) or 1.0

    def near(other: NDArray[np.float64]) -> bool:
        return float(np.abs(other - sent).max()) <= CLOSE * size

    if near(stacked.mean(axis=0)):
        return "mean"
    others = [row for who, row in rows.items() if who != receiver]
    if others and len(others) < len(rows) and near(np.mean(others, axis=0)):
        return "mean of others"
    shares, _ = scipy.optimize.nnls(stacked.T, sent)
    return "weighted" if abs(shares.sum() - 1) < 1e-2 and near(shares @ stacked) else "mix"


def _entries(transcript: Transcript, message: Message) -> NDArray[np.float64]:
    """Some entries of a payload as one row, the same places for payloads of one shape."""
    payload = transcript.payload(message)
    tensors = [tensor for _, tensor in sorted(tensors_of(payload).items())]
    tensors = [tensor for tensor in tensors if tensor.is_floating_point()] or tensors
    flat = np.concatenate([np.zeros(0), *(tensor.double().flatten().numpy() for tensor in tensors)])
    step = max(1, len(flat) // COORDINATES)
    return np.asarray(flat[::step], dtype=np.float64)
