"""The transcript on disk: a line a round, appended, and the contents of all messages one after the other.

``log.jsonl`` begins with the format; then each round is one JSON line: its messages, its public folds, and what else
the caller keeps of it. Every line carries a seal, the SHA-256 of the seal before it and of its own text, so that a
line that was changed, lost or moved is told. ``contents.bin`` holds encoded messages; a line tells where, and the
digest of each is compared whenever it is read. Messages in a row that differ in the receiver alone are one entry.

Nothing is ever written twice: a :class:`Position` says how far both files reach, and going on from an earlier one
cuts them there.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import folder
from fedprivacy.folder import Damaged
from fedprivacy.wire.transcript import Message, PublicFold

FORMAT = "fedprivacy transcript 2"
_HEAD = json.dumps({"format": FORMAT}) + "\n"
_SEAL = hashlib.sha256(_HEAD.encode()).hexdigest()
_LONGEST = 200
"""Characters of the longest name of a party, kind or purpose."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Position:
    """How far a log reaches: bytes of both files, and the seal of the last line."""

    lines: int = len(_HEAD)
    contents: int = 0
    seal: str = _SEAL


@dataclass(frozen=True, eq=False)
class Entry:
    """One round of the log. ``more`` is what the caller gave beside messages and folds."""

    round: int
    messages: tuple[Message, ...]
    folds: tuple[PublicFold, ...]
    more: Mapping[str, Any]


class Contents:
    """Encoded messages in one file that only grows, each once, checked against its digest on reading.

    Without a ``path`` they stay in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path, self.size = path, 0
        self._held: dict[str, bytes] = {}
        self.places: dict[str, tuple[int, int]] = {}
        """Digest -> (offset, bytes)."""

    def put(self, digest: str, data: bytes) -> None:
        if digest in self.places:
            return
        if self.path is None:
            self._held[digest] = data
        else:
            folder.write_at(self.path, self.size, data)
        self.places[digest] = (self.size, len(data))
        self.size += len(data)

    def get(self, digest: str) -> bytes:
        if self.path is None:
            return self._held[digest]
        offset, length = self.places[digest]
        data = folder.read_part(self.path, offset, length)
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged(f"{self.path}: the message at byte {offset:,} is not the one that was recorded")
        return data


class Log:
    """The log in a folder, to be written: cut at ``position``, or begun anew. Without a folder it stays in memory."""

    def __init__(self, where: Path | None, position: Position | None = None) -> None:
        self.path = None if where is None else where / "log.jsonl"
        self.contents = Contents(None if where is None else where / "contents.bin")
        self.entries: list[Entry] = []
        self.position = position or Position()
        if self.path is None or self.contents.path is None:
            return
        if position is None:
            folder.write_text(self.path, _HEAD)
            folder.cut(self.contents.path, 0)
        else:
            self.entries = _read(self.path, self.contents, position)
            folder.cut(self.path, position.lines)
            folder.cut(self.contents.path, position.contents)

    def append(self, round: int, messages: Sequence[Message], folds: Sequence[PublicFold], more: Any) -> None:
        """Add a round whose message contents have been put."""
        if self.path is not None:
            self._write(self.path, round, messages, folds, more)
        self.entries.append(Entry(round, tuple(messages), tuple(folds), more))

    def _write(
        self, path: Path, round: int, messages: Sequence[Message], folds: Sequence[PublicFold], more: Any
    ) -> None:
        content = {
            "round": round,
            "messages": [_grouped(list(same), self.contents) for _, same in groupby(messages, _but_receiver)],
            "folds": [{**asdict(fold), "records": fold.records.tolist()} for fold in folds],
            "more": more,
        }
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
        seal = _next_seal(self.position.seal, text)
        line = f"{seal} {text}\n".encode()
        folder.write_at(path, self.position.lines, line)
        self.position = Position(self.position.lines + len(line), self.contents.size, seal)


def read(where: Path, position: Position | None = None, torn: bool = False) -> tuple[list[Entry], Contents]:
    """The rounds of a log up to ``position``, or all, and its contents. Raises :class:`Damaged`.

    ``torn``: whoever wrote it may have been killed within a line, which then does not count.
    """
    contents = Contents(where / "contents.bin")
    return _read(where / "log.jsonl", contents, position, torn), contents


def _read(path: Path, contents: Contents, position: Position | None, torn: bool = False) -> list[Entry]:
    text = folder.read_bytes(path, folder.LARGEST_ARRAYS)
    if not text.startswith(_HEAD.encode()):
        raise Damaged(f"{path} is no transcript of this version (its first line should say {FORMAT!r})")
    if position is not None:
        text = text[: position.lines]
    lines = text[len(_HEAD) :].split(b"\n")
    if lines.pop() and not torn:
        raise Damaged(f"{path} ends within a line")
    stored = contents.path.stat().st_size if contents.path is not None and contents.path.exists() else 0
    seal, entries = _SEAL, []
    for number, line in enumerate(lines, start=2):
        told, _, body = line.decode(errors="replace").partition(" ")
        seal = _next_seal(seal, body)
        if told != seal:
            raise Damaged(f"{path}, line {number}, was changed after it was written (its seal does not match)")
        content = folder.parsed(body.encode(), path)
        try:
            entries.append(_entry(content, contents, stored))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise Damaged(f"{path}, line {number}, is no round of a transcript: {error}") from None
    if position is not None and (len(text), contents.size, seal) != (position.lines, position.contents, position.seal):
        raise Damaged(f"{path} does not reach as far as its checkpoint, or is of another run")
    return entries


def _entry(content: Mapping[str, Any], contents: Contents, stored: int) -> Entry:
    number = _whole(content["round"])
    messages = [message for row in content["messages"] for message in _messages(number, row, contents, stored)]
    return Entry(number, tuple(messages), tuple(map(_fold, content["folds"])), content["more"])


def _messages(round: int, row: Sequence[Any], contents: Contents, stored: int) -> list[Message]:
    sender, receivers, kind, values, size, digest, purpose, offset = row
    for word in (sender, *receivers, kind, purpose):
        if not isinstance(word, str) or len(word) > _LONGEST or not word.isprintable():
            raise ValueError("the name of a party, a kind or a purpose is none")
    if not _DIGEST.fullmatch(digest):
        raise ValueError("a digest is none")
    sender, receivers = sys.intern(sender), list(map(sys.intern, receivers))
    if _whole(offset) + _whole(size) > stored or _whole(values) > size:
        raise ValueError("a message is said to lie behind the end of contents.bin")
    if digest not in contents.places:
        contents.places[digest] = (offset, size)
        contents.size = max(contents.size, offset + size)
    return [Message(round, sender, receiver, kind, values, size, digest, purpose) for receiver in receivers]


def _fold(content: Mapping[str, Any]) -> PublicFold:
    records = np.asarray(content["records"])
    if records.ndim != 1 or (len(records) and records.dtype.kind != "i"):
        raise ValueError("the records of a public fold are whole numbers")
    sizes = {name: _whole(content[name]) for name in ("round", "bytes", "receivers")}
    return PublicFold(records=records.astype(np.int64), labelled=bool(content["labelled"]), **sizes)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is no size")
    return value


def _grouped(same: Sequence[Message], contents: Contents) -> list[Any]:
    first = same[0]
    offset = contents.places[first.digest][0]
    names = [message.receiver for message in same]
    sizes = (first.payload_bytes, first.encoded_bytes)
    return [first.sender, names, first.kind, *sizes, first.digest, first.purpose, offset]


def _but_receiver(message: Message) -> tuple[Any, ...]:
    return (message.sender, message.kind, message.digest, message.purpose)


def _next_seal(seal: str, text: str) -> str:
    return hashlib.sha256(f"{seal} {text}".encode()).hexdigest()
