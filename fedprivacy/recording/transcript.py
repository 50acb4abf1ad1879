"""The messages of a recording, written round by round and checked to the last content when they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.recording.files import COINS, MODELS, START, TRANSCRIPT, one_line
from fedprivacy.wire.codec import UnknownKind, decode, value_bytes
from fedprivacy.wire.log import Contents, Entry, read
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.transcript import Message, PublicFold, Transcript

FINISHED = "finished"
"""What the last line of a finished federation's log says."""

WITH_START, WITH_MODELS = "start", "models"
"""What lines say of the files that not every recording has, so that one that is gone is told."""


def read_transcript(where: Path, clients: int, records: int) -> tuple[Transcript, bool]:
    """The whole rounds of the recording in folder ``where``, and whether the federation was finished.

    ``clients`` and ``records`` (in all) bound what its lines may name. UsageError in one line for anything else.
    """
    with one_line():
        entries, contents = read(where / TRANSCRIPT, torn=True)
    finished = bool(entries) and _says(entries[-1], FINISHED)
    path = where / TRANSCRIPT
    for told, name in ((WITH_START, START), (WITH_MODELS, MODELS)):
        with_truth = name != MODELS or (where / COINS).exists()
        if with_truth and not (where / name).exists() and any(_says(one, told) for one in entries):
            raise UsageError(f"{where / name} is missing, and {path} says that it was written.")
    entries = entries[:-1] if finished else entries
    if not entries:
        raise UsageError(f"{path} holds no whole round.")
    _check_rounds(entries, path)
    messages = tuple(message for one in entries for message in one.messages)
    folds = tuple(fold for one in entries for fold in one.folds)
    parties = {SERVER, *map(client_name, range(clients))}
    checked: set[str] = set()
    for message in messages:
        _check(message, contents, parties, checked, path)
    for fold in folds:
        _check_fold(fold, clients, records, path)
    return Transcript(messages, folds, contents), finished


def _says(entry: Entry, what: str) -> bool:
    return isinstance(entry.more, dict) and entry.more.get(what) is True


def read_start(where: Path) -> dict[str, np.ndarray] | None:
    """The common start of a recording by name; None where there is none."""
    if not (where / START).exists():
        return None
    with one_line():
        return folder.read_arrays(where / START)[0]


def _check_rounds(entries: list[Entry], path: Path) -> None:
    rounds = [one.round for one in entries]
    if rounds != sorted(set(rounds)) or rounds[0] < 1:
        raise UsageError(f"{path}: its rounds are not in order, each once, from 1 on.")


def _check(message: Message, contents: Contents, parties: set[str], checked: set[str], path: Path) -> None:
    """Raise UsageError where a message names nobody, or its content is lost, changed, or no payload."""
    where = f"{path}, round {message.round}, {message.sender} to {message.receiver}"
    for party in (message.sender, message.receiver):
        if party not in parties:
            raise UsageError(f"{where}: no party '{party}' exists in this game.")
    if message.sender == message.receiver:
        raise UsageError(f"{where}: nobody sends to itself.")
    with one_line():
        data = contents.get(message.digest)
    if (message.payload_bytes, message.encoded_bytes) != (_values(data), len(data)):
        raise UsageError(f"{where}: its sizes are not those of its content.")
    if message.digest in checked:
        return
    try:
        payload = decode(data)
        kind = payload.kind
    except UnknownKind as error:
        kind = repr(error.kind[:40])
        raise UsageError(
            f"{where}: its content is of kind {kind}, which is none of fedprivacy's; if it is from outside, name "
            "its class by --payload or payload=, if it is to run with your rights."
        ) from None
    except Exception as error:  # whatever a made-up content provokes in a decoder is one line
        raise UsageError(f"{where}: its content cannot be decoded ({type(error).__name__}).") from None
    if kind != message.kind:
        raise UsageError(f"{where}: it is said to be {message.kind} and is {kind}.")
    checked.add(message.digest)


def _values(data: bytes) -> int:
    return value_bytes(data) if len(data) >= 8 else -1


def _check_fold(fold: PublicFold, clients: int, records: int, path: Path) -> None:
    if len(fold.records) and (fold.records.min() < 0 or fold.records.max() >= records):
        raise UsageError(f"{path}, round {fold.round}: its public fold names a record that does not exist.")
    if fold.receivers > clients:
        raise UsageError(f"{path}, round {fold.round}: its public fold has more receivers than there are clients.")
