"""The ordered log of all messages and public folds of a federation, and the store that holds their contents.

``payload_bytes`` counts the raw values of a message alone, so that the size formulas of the papers can be checked;
``encoded_bytes`` is the whole message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedprivacy.wire.codec import decode
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Payload

_PASSED_ON = re.compile(r"of (client-\d+)")


@dataclass(frozen=True, slots=True)
class Message:
    """One line of the transcript; the content lies in the store under ``digest``."""

    round: int
    sender: str
    receiver: str
    kind: str
    payload_bytes: int
    encoded_bytes: int
    digest: str
    purpose: str = ""
    """What the message is for, where a kind alone does not say it, such as ``group`` or ``consensus``."""

    @property
    def author(self) -> str:
        """Whose message it is: that of its sender, or of the client under whose name a server passes it on."""
        named = _PASSED_ON.fullmatch(self.purpose) if self.sender == SERVER else None
        return named[1] if named else self.sender

    @property
    def passed_on(self) -> bool:
        """Whether a server passes on what a client said."""
        return self.author != self.sender

    def visible_to(self, party: str) -> bool:
        """Whether ``party`` sends or receives this message."""
        return party in (self.sender, self.receiver)


@dataclass(frozen=True, eq=False)
class PublicFold:
    """The public records that one round used: ``records`` [N] ids in the training set, ``bytes`` as delivered.

    A planted probe stands here like any other record. ``labelled`` says whether labels were delivered too, and
    ``receivers`` to how many clients (a fold that the server keeps to itself has none).
    """

    round: int
    records: NDArray[np.int64]
    labelled: bool
    bytes: int
    receivers: int


class Store(Protocol):
    """Where encoded messages lie, by digest."""

    def put(self, digest: str, data: bytes) -> None: ...

    def get(self, digest: str) -> bytes: ...


class MemoryStore:
    """Encoded messages in memory."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def put(self, digest: str, data: bytes) -> None:
        self._data.setdefault(digest, data)

    def get(self, digest: str) -> bytes:
        return self._data[digest]


@dataclass(frozen=True, eq=False)
class PartOf:
    """Some contents of another store; all others raise KeyError."""

    whole: Store
    digests: frozenset[str]

    def put(self, digest: str, data: bytes) -> None:
        raise TypeError("a part of a store is for reading")

    def get(self, digest: str) -> bytes:
        if digest not in self.digests:
            raise KeyError(f"no message with content {digest} is in sight")
        return self.whole.get(digest)


@dataclass(frozen=True, eq=False)
class Transcript:
    """The ordered log of a federation: messages, public folds, and the store that holds the contents."""

    messages: tuple[Message, ...]
    folds: tuple[PublicFold, ...]
    store: Store

    def payload(self, message: Message) -> Payload:
        """A fresh copy of a message's content."""
        return decode(self.store.get(message.digest))

    def restricted(self, keep: Callable[[Message], bool]) -> Transcript:
        """The same log with only the messages for which ``keep`` holds, and their contents alone."""
        kept = tuple(m for m in self.messages if keep(m))
        return Transcript(kept, self.folds, PartOf(self.store, frozenset(m.digest for m in kept)))

    def rounds(self) -> Iterator[int]:
        """Rounds that have messages or folds, in order."""
        yield from sorted({m.round for m in self.messages} | {f.round for f in self.folds})


def times(message: Message) -> int:
    """How often a message counts in up and down together: twice from client to client, else once."""
    return int(message.sender != SERVER) + int(message.receiver != SERVER)


def directions(messages: Sequence[Message]) -> tuple[int, int]:
    """(up, down) encoded bytes. Up leaves a client; down arrives at one. Peer to peer counts in both."""
    up = sum(m.encoded_bytes for m in messages if m.sender != SERVER)
    down = sum(m.encoded_bytes for m in messages if m.receiver != SERVER)
    return up, down
