"""Payloads to bytes and back.

Every message is encoded and decoded again before its receiver sees it, so sizes are measured and nothing is shared by
reference. The encoding is safetensors: an 8-byte length, a JSON header (tensor names, dtypes, shapes, the payload's
kind and its plain fields), then the raw values.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor

from fedprivacy.wire import payloads as payloads  # every payload that may lie in a transcript can be decoded
from fedprivacy.wire.payload import KINDS, Compact, Payload, Weights, registered


class UnknownKind(ValueError):
    """A message of a payload type that this process does not know; ``kind`` names it."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"unknown payload kind {kind!r}; a payload type of one's own is made known by wire.register")
        self.kind = kind


def encode(payload: Payload) -> bytes:
    """Bytes of ``payload``; the same payload always gives the same bytes, whatever the order of its mappings.

    The header has one free entry, since safetensors writes several in an order that differs between processes. Raises
    :class:`UnknownKind` for what no receiver could decode.
    """
    if not registered(type(payload)):
        raise UnknownKind(payload.kind)
    contents = {field.name: getattr(payload, field.name) for field in fields(payload)}
    plain = {name: content for name, content in contents.items() if not isinstance(content, Tensor | Mapping)}
    header = {"kind": payload.kind} | ({"fields": plain} if plain else {})
    return safetensors.torch.save(unshared(tensors_of(payload)), {"payload": json.dumps(header, sort_keys=True)})


def tensors_of(payload: Payload) -> dict[str, Tensor]:
    """All tensors of a payload, named ``field`` or, in a mapping, ``field/name``."""
    found: dict[str, Tensor] = {}
    for field in fields(payload):
        content = getattr(payload, field.name)
        if isinstance(content, Tensor):
            found[field.name] = content
        elif isinstance(content, Mapping):
            found |= {f"{field.name}/{name}": tensor for name, tensor in content.items()}
    return found


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

    Mappings come in the order of their names. Raises :class:`UnknownKind`.
    """
    payload = decode_unopened(data)
    return payload.opened() if isinstance(payload, Compact) else payload


def decode_unopened(data: bytes) -> Payload:
    """The same as it was sent, opened or not."""
    header = _header(data)
    kind = KINDS.get(header["kind"])
    if kind is None:
        raise UnknownKind(str(header["kind"]))
    content: dict[str, Any] = dict(header.get("fields", {}))
    for name, tensor in sorted(safetensors.torch.load(data).items()):
        field, _, inner = name.partition("/")
        if inner:
            content.setdefault(field, {})[inner] = tensor
        else:
            content[field] = tensor
    for slot in fields(kind):
        content.setdefault(slot.name, {})
    return cast("Payload", kind(**content))


def kind_sent(data: bytes) -> str:
    """The kind of the payload in ``data`` as it crosses the wire, before anything is opened."""
    return str(_header(data)["kind"])


def _header(data: bytes) -> dict[str, Any]:
    length = struct.unpack("<Q", data[:8])[0]
    found: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["payload"])
    return found


def weights_bytes(weights: Mapping[str, Tensor]) -> int:
    """Encoded bytes of one message with all ``weights`` of a model."""
    return len(encode(Weights(weights)))


def value_bytes(data: bytes) -> int:
    """Bytes of the raw values in an encoded message, without its header."""
    return len(data) - 8 - int(struct.unpack("<Q", data[:8])[0])


def same_bits(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Whether two mappings of tensors have the same names and the same bits."""
    return a.keys() == b.keys() and all(a[n].dtype == b[n].dtype and torch.equal(a[n].cpu(), b[n].cpu()) for n in a)
