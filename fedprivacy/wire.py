"""What crosses the wire: typed payloads, their encoding, and the ordered log of all messages.

Every message is encoded to bytes and decoded again before its receiver sees it, so sizes are measured and nothing is
shared by reference. The encoding is safetensors: an 8-byte length, a JSON header (tensor names, dtypes, shapes, the
payload's kind and its plain fields), then the raw values. ``payload_bytes`` counts the raw values alone, so that the
size formulas of the papers can be checked; ``encoded_bytes`` is the whole message.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.parties import SERVER as SERVER
from fedprivacy.parties import client_index as client_index
from fedprivacy.parties import client_name as client_name


class Payload(Protocol):
    """A frozen dataclass whose fields are tensors, mappings of tensors, or plain JSON values."""

    kind: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outputs of one model on a public fold, one row a record, in the order of the fold.

    ``form``: ``probabilities`` or ``logits`` [N, C] (or [N, 1] for one sigmoid), ``losses`` [N, 1] (cross-entropy
    on the labelled fold, nats), ``labels`` [N, 1] (argmax class).
    """

    kind: ClassVar[str] = "predictions"
    values: Tensor
    form: Literal["probabilities", "logits", "losses", "labels"]


@dataclass(frozen=True, eq=False)
class Weights:
    """Parameters and buffers of a model, or of one group of its layers."""

    kind: ClassVar[str] = "weights"
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Update:
    """End weights minus start weights of a client's local training."""

    kind: ClassVar[str] = "update"
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Scalars:
    """Named numbers that leave a party: a validation accuracy, a record count."""

    kind: ClassVar[str] = "scalars"
    tensors: Mapping[str, Tensor]


@runtime_checkable
class Compact(Protocol):
    """A payload that takes less room on the wire than what its receiver works with."""

    def opened(self) -> Payload:
        """What the receiver works with."""


PayloadT = TypeVar("PayloadT", bound=Payload)

KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (Predictions, Weights, Update, Scalars)}
"""Payload types by name; a protocol with a payload of its own adds it through :func:`register`."""


def register(kind: type[PayloadT]) -> type[PayloadT]:
    """Make a payload type decodable (class decorator)."""
    if KINDS.setdefault(kind.kind, kind) is not kind:
        raise ValueError(f"two payload types are named {kind.kind!r}")
    return kind


def encode(payload: Payload) -> bytes:
    """Bytes of ``payload``; the same payload always gives the same bytes, whatever the order of its mappings.

    The header has one free entry, since safetensors writes several in an order that differs between processes.
    """
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}
    for field in fields(payload):
        content = getattr(payload, field.name)
        if isinstance(content, Tensor):
            tensors[field.name] = content
        elif isinstance(content, Mapping):
            tensors |= {f"{field.name}/{name}": tensor for name, tensor in content.items()}
        else:
            plain[field.name] = content
    header = {"kind": payload.kind} | ({"fields": plain} if plain else {})
    return safetensors.torch.save(unshared(tensors), {"payload": json.dumps(header, sort_keys=True)})


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, and no two of them in one memory (tied weights, parts of one tensor)."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        result[name] = plain.clone() if memory in seen else plain
        seen.add(memory)
    return result


def decode(data: bytes) -> Payload:
    """The payload in ``data``, opened where it is :class:`Compact`: fresh tensors, no memory shared with the sender.

    Mappings come in the order of their names.
    """
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["payload"])
    kind = KINDS.get(header["kind"])
    if kind is None:
        raise ValueError(f"unknown payload kind {header['kind']!r}")
    content: dict[str, Any] = dict(header.get("fields", {}))
    for name, tensor in sorted(safetensors.torch.load(data).items()):
        field, _, inner = name.partition("/")
        if inner:
            content.setdefault(field, {})[inner] = tensor
        else:
            content[field] = tensor
    for slot in fields(kind):
        content.setdefault(slot.name, {})
    payload = kind(**content)
    return payload.opened() if isinstance(payload, Compact) else cast("Payload", payload)


def value_bytes(data: bytes) -> int:
    """Bytes of the raw values in an encoded message, without its header."""
    return len(data) - 8 - int(struct.unpack("<Q", data[:8])[0])


@dataclass(frozen=True)
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


class Outgoing(Protocol):
    """A defense that stands between a client and the wire; returns what is really sent."""

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload: ...


@runtime_checkable
class OnUpdates(Outgoing, Protocol):
    """A defense that acts on the change of the weights since the round began, also where weights are sent."""

    def outgoing_update(self, update: Update, sender: str, round: int) -> Update: ...


@runtime_checkable
class OnRelays(Outgoing, Protocol):
    """A defense that also acts on what the server sends, such as an encoding used in both directions."""

    def relayed(self, payload: Payload, round: int) -> Payload: ...


@runtime_checkable
class Aggregator(Outgoing, Protocol):
    """A defense that takes the server's place where it merges what the clients of a round sent."""

    def combined(self, received: Mapping[str, Payload], channel: Channel) -> Payload: ...


class Channel:
    """The only way from one party to another in a round.

    :meth:`send` applies the defense to what a client sends, encodes, logs, and returns what the receiver decodes.
    ``start`` gives the weights that a party held when the round began; they must be known to the receiver.
    """

    def __init__(
        self,
        round: int,
        store: Store,
        defense: Outgoing | None = None,
        start: Callable[[str], Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.round, self._store, self._defense, self._start = round, store, defense, start
        self.messages: list[Message] = []

    def send(self, sender: str, receivers: str | Sequence[str], payload: PayloadT, purpose: str = "") -> PayloadT:
        """Send ``payload`` and return the receivers' copy; several receivers are several messages."""
        data = encode(self._defended(payload, sender))
        digest = hashlib.sha256(data).hexdigest()
        self._store.put(digest, data)
        sizes = (value_bytes(data), len(data))
        names = [receivers] if isinstance(receivers, str) else receivers
        copy = decode(data)
        self.messages += [Message(self.round, sender, name, copy.kind, *sizes, digest, purpose) for name in names]
        return cast("PayloadT", copy)

    @property
    def aggregates(self) -> bool:
        """Whether the defense merges in the server's place."""
        return isinstance(self._defense, Aggregator)

    def combined(self, received: Mapping[str, PayloadT], mean: Callable[[], PayloadT]) -> PayloadT:
        """What the server makes of what the participants (by name) sent: ``mean()``, unless the defense merges."""
        if isinstance(self._defense, Aggregator):
            return cast("PayloadT", self._defense.combined(received, self))
        return mean()

    def _defended(self, payload: Payload, sender: str) -> Payload:
        if self._defense is None:
            return payload
        if sender == SERVER:
            return self._defense.relayed(payload, self.round) if isinstance(self._defense, OnRelays) else payload
        if isinstance(payload, Weights) and isinstance(self._defense, OnUpdates):
            if self._start is None:
                raise ValueError("the defense acts on updates: the channel needs the weights at the start of the round")
            start = self._start(sender)
            update = change(start, payload.tensors)
            return Weights(moved(start, payload.tensors, self._defense.outgoing_update(update, sender, self.round)))
        return self._defense.outgoing(payload, sender, self.round)


def change(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> Update:
    """``end - start`` of the floating-point tensors of ``end``."""
    return Update({name: t - start[name] for name, t in end.items() if t.is_floating_point()})


def moved(start: Mapping[str, Tensor], end: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
    """The tensors of ``end``, each ``start + update``; counters stay as at the start, since they tell of the data."""
    return {name: start[name] + update.tensors[name] if name in update.tensors else start[name] for name in end}


def times(message: Message) -> int:
    """How often a message counts in up and down together: twice from client to client, else once."""
    return int(message.sender != SERVER) + int(message.receiver != SERVER)


def directions(messages: Sequence[Message]) -> tuple[int, int]:
    """(up, down) encoded bytes. Up leaves a client; down arrives at one. Peer to peer counts in both."""
    up = sum(m.encoded_bytes for m in messages if m.sender != SERVER)
    down = sum(m.encoded_bytes for m in messages if m.receiver != SERVER)
    return up, down


def same_bits(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two mappings of tensors have the same names and the same bits."""
    return a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and torch.equal(a[n].cpu(), b[n].cpu()) for n in a)
