"""What a payload type promises: it crosses the wire whole, in the same bytes each time, and can be worked with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fedprivacy.study.conformance.checked import Broken, Look, hold
from fedprivacy.wire.codec import decode, decode_unopened, encode, kind_sent, tensors_of, value_bytes
from fedprivacy.wire.payload import Compact, Payload, Predictions, Scalars, Update, Weights
from fedprivacy.wire.payloads import Prototypes
from fedprivacy.wire.transcript import Transcript

READ = (Predictions, Weights, Update, Scalars, Prototypes)
"""What attacks of ours read."""


def example(part: Any) -> Payload:
    """One payload of the type, as its author makes it. Raises :class:`Broken` where it makes none."""
    if not hasattr(part, "example"):
        raise Broken("nobody but its author can make one: give it a static method example() that returns one")
    made = part.example()
    hold(type(made) is part, f"example() returns a {type(made).__name__}")
    return made  # type: ignore[no-any-return]


def looks(part: Any, made: Callable[[], Payload]) -> Iterator[tuple[str, Look]]:
    """The properties of a payload type; ``made`` gives one of it."""
    found: list[Payload] = []

    def plain() -> str:
        hold(part.__dataclass_params__.frozen, "it can be changed after it was sent: @dataclass(frozen=True, eq=False)")
        one = made()
        for field in dataclasses.fields(part):
            _hold_plain(field.name, getattr(one, field.name))
        found.append(one)
        return ", ".join(field.name for field in dataclasses.fields(part))

    def crosses() -> str:
        data = encode(found[0])
        hold(kind_sent(data) == part.kind, f"it is sent as {kind_sent(data)!r}")
        back = decode_unopened(data)
        before, after = tensors_of(found[0]), tensors_of(back)
        lost = [name for name, t in before.items() if name not in after or not _same(t, after[name])]
        hold(not lost, f"{', '.join(lost)} arrive otherwise than they were sent")
        for field in dataclasses.fields(part):
            one, other = getattr(found[0], field.name), getattr(back, field.name)
            if not isinstance(one, Tensor | Mapping):
                hold(_listed(one) == other, f"{field.name} was {one!r} and arrives as {other!r}")
        return f"{len(data):,} bytes, {value_bytes(data):,} of them values"

    def again() -> str:
        first, turned = encode(found[0]), encode(_turned(found[0]))
        hold(encode(decode_unopened(first)) == first, "what arrived is encoded in other bytes than what was sent")
        hold(turned == first, "the order of a mapping changes the bytes")
        return ""

    def works() -> str:
        if not isinstance(found[0], Compact):
            return f"receivers get it as it is; without opened() no attack of ours reads {part.kind}"
        data = encode(found[0])
        opened, second = decode(data), decode(data)
        hold(isinstance(opened, READ), f"opened() gives a {type(opened).__name__}, which no attack of ours reads")
        tensors = tensors_of(opened)
        hold(bool(tensors), f"it opens into {opened.kind} without a single value")
        hold(_equal(tensors, tensors_of(second)), "two receivers open it into different values")
        odd = [n for n, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
        hold(not odd, f"opened, {', '.join(odd)} are not finite")
        return f"opened into {opened.kind} of {sum(t.numel() for t in tensors.values()):,} values"

    yield "it is made of tensors and plain values", plain
    yield "all of it crosses the wire", crosses
    yield "the same payload, the same bytes", again
    yield "its receiver can work with it", works


def hold_all(transcript: Transcript) -> str:
    """All kinds that were sent. Raises :class:`Broken` where a type from outside breaks a promise."""
    kinds: dict[str, bytes] = {}
    for digest in {message.digest for message in transcript.messages}:
        data = transcript.store.get(digest)
        kinds.setdefault(kind_sent(data), data)
    for kind, data in kinds.items():
        sent = decode_unopened(data)
        if type(sent).__module__.startswith("fedprivacy."):
            continue
        for told, look in looks(type(sent), partial(decode_unopened, data)):
            try:
                look()
            except Broken as error:
                raise Broken(f"{kind}: {told}: {error}") from error
    return ", ".join(sorted(kinds))


def _hold_plain(name: str, content: Any) -> None:
    if isinstance(content, Mapping):
        odd = [key for key, value in content.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
        hold(not odd, f"{name}[{odd[0] if odd else ''!r}] is no tensor under a text")
    elif not isinstance(content, Tensor):
        hold(_is_json(content), f"{name} is a {type(content).__name__}: neither tensors nor what JSON holds")


def _is_json(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, bool | int | float | str)


def _listed(value: Any) -> Any:
    """A value as JSON gives it back: tuples are lists."""
    return [_listed(one) for one in value] if isinstance(value, list | tuple) else value


def _turned(payload: Payload) -> Payload:
    """The same payload with its mappings in the other order."""
    contents = {field.name: getattr(payload, field.name) for field in dataclasses.fields(payload)}
    turned = {n: dict(reversed(list(c.items()))) if isinstance(c, Mapping) else c for n, c in contents.items()}
    return type(payload)(**turned)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one.detach().cpu(), other)


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(t, other[n]) for n, t in one.items())
