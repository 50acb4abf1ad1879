"""Replays that were made before: seats that follow the same client with the same draws share them.

What a server sees and what it sees where it planted probes differ in the last questions alone; up to there the client's
course is the same, and so are the draws. A replay is known by a digest of everything that it depends on, and keeps the
model of its last answer, for other questions. Where a part has no digest nothing is kept.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

HELD = 2**26
"""Bytes of models that are kept, the latest ones."""

Questions = Mapping[int, NDArray[Any]]
Answers = dict[int, Tensor]


class NoDigest(Exception):
    """Two things of this kind cannot be told to be the same."""


def digest(*values: Any) -> bytes:
    """Of the contents: numbers, words, tensors, arrays, plain functions, and collections and dataclasses of them.

    Raises :class:`NoDigest`.
    """
    found = hashlib.blake2b(digest_size=16)
    for part in _parts(values):
        found.update(part)
    return found.digest()


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, Tensor):
        yield from _parts(value.detach().cpu().numpy())
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype.str}{value.shape}".encode()
        yield np.ascontiguousarray(value).data.cast("B") if value.size else b""
    elif value is None or isinstance(value, bool | int | float | str | bytes):
        yield f"{type(value).__name__}:{value!r};".encode()
    elif isinstance(value, Mapping):
        yield from _parts(list(value.items()))
    elif isinstance(value, Sequence):
        yield f"[{len(value)}".encode()
        for one in value:
            yield from _parts(one)
    elif isinstance(value, FunctionType) and value.__closure__ is None and "<" not in value.__qualname__:
        yield f"{value.__module__}.{value.__qualname__};".encode()
    elif is_dataclass(value) and not isinstance(value, type):
        yield f"{type(value).__module__}.{type(value).__qualname__}(".encode()
        for field in fields(value):
            yield from _parts(getattr(value, field.name))
    else:
        raise NoDigest(f"of {type(value).__name__}")


@dataclass(frozen=True, eq=False)
class Played:
    """What a replay answered to which questions (their digests), and the model that answered last."""

    answers: Answers
    asked: Mapping[int, bytes]
    last: int
    weights: Mapping[str, Tensor]

    @property
    def nbytes(self) -> int:
        """Of the model."""
        return sum(weight.nbytes for weight in self.weights.values())

    def known(self, asked: Questions) -> tuple[Answers, bool] | None:
        """Answers to those of ``asked`` that were asked before, and whether the last ones are new; None: others are."""
        rounds = set(self.asked) & set(asked)
        if rounds != set(asked):
            return None
        new = {round for round in rounds if digest(asked[round]) != self.asked[round]}
        if new - {self.last}:
            return None
        return {round: self.answers[round] for round in asked if round not in new}, bool(new)


class Shelf:
    """The latest replays, up to ``held`` bytes of models."""

    def __init__(self, held: int = HELD) -> None:
        self.held = held
        self._found: OrderedDict[bytes, Played] = OrderedDict()

    def get(self, key: bytes) -> Played | None:
        """The replay known by ``key``."""
        if key in self._found:
            self._found.move_to_end(key)
        return self._found.get(key)

    def put(self, key: bytes, played: Played) -> None:
        """Keep a replay, and forget the oldest ones."""
        self._found[key] = played
        self._found.move_to_end(key)
        while sum(one.nbytes for one in self._found.values()) > self.held:
            self._found.popitem(last=False)


SHELVES: WeakKeyDictionary[Callable[..., Any], Shelf] = WeakKeyDictionary()


def shelf_of(build: Callable[..., Any]) -> Shelf:
    """The replays of models that ``build`` makes, which live as long as it does: one federation."""
    return SHELVES.setdefault(build, Shelf())
