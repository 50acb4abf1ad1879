"""Masks that cancel in a sum: fixed-point numbers and pseudorandom vectors modulo 2^32 (Bonawitz et al. 2017).

The pseudorandom generator is numpy's and its seeds are named seeds, in place of a cipher and a key agreement: for
measuring what the server sees, not for hiding anything from somebody who knows the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Word = NDArray[np.uint32]


def steps_per_unit(largest: float, parties: int) -> float:
    """Power of two by which values up to ``largest`` are multiplied, so that a sum of ``parties`` fits 32 bits."""
    return float(2 ** np.floor(np.log2((2**31 - 1 - parties) / (largest * parties))))


def to_words(tensors: Mapping[str, Tensor], scale: float) -> Word:
    """All entries, tensor after tensor by name, as two's-complement fixed-point numbers. They must be within range."""
    flat = torch.cat([tensors[name].double().flatten() for name in sorted(tensors)]).numpy()
    return np.rint(flat * scale).astype(np.int64).astype(np.uint32)


def from_words(words: Word, scale: float) -> NDArray[np.float64]:
    """The signed numbers that ``words`` stand for."""
    return words.view(np.int32) / scale


def to_tensors(words: Word, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """``words`` cut into int32 tensors of the given names and shapes, in the order of the names."""
    names = sorted(shapes)
    pieces = np.split(words.view(np.int32), np.cumsum([shapes[name].numel() for name in names])[:-1])
    return {name: torch.from_numpy(piece.copy()).view(shapes[name]) for name, piece in zip(names, pieces, strict=True)}


def of_tensors(tensors: Mapping[str, Tensor]) -> Word:
    """The inverse of :func:`to_tensors`."""
    return np.concatenate([tensors[name].numpy().reshape(-1) for name in sorted(tensors)]).view(np.uint32)


def expanded(seed: int, length: int) -> Word:
    """``length`` pseudorandom words, uniform modulo 2^32."""
    source = np.random.Generator(np.random.Philox(seed))
    return source.integers(0, 2**32, size=length, dtype=np.uint32)


def mask(party: int, own: int, pairs: Mapping[int, int], length: int) -> Word:
    """``PRG(own) + sum_{v > u} PRG(s_uv) - sum_{v < u} PRG(s_uv)`` for party u with pair seeds by other party."""
    total = expanded(own, length)
    for other, seed in pairs.items():
        term = expanded(seed, length)
        total = total + term if other > party else total - term
    return total


def opened(masked: Mapping[int, Word], own: Mapping[int, int], lost: Mapping[int, Mapping[int, int]]) -> Word:
    """Sum of what the parties of ``masked`` sent, without masks.

    ``own``: each of those parties' own seed. ``lost[v][u]``: the seed that party v, whose message did not arrive,
    shares with party u.
    """
    words: Sequence[Word] = list(masked.values())
    total = np.zeros_like(words[0])
    for word in words:
        total = total + word
    for party in masked:
        total = total - expanded(own[party], len(total))
    for gone, pairs in lost.items():
        for party in masked:
            term = expanded(pairs[party], len(total))
            total = total - term if gone > party else total + term
    return total
