"""Quantised labels to bytes and back, with delta coding against the last round (Sattler et al., arXiv 2012.00632)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fedprivacy.training import range_coder
from fedprivacy.training.quantisation import Levels
from fedprivacy.wire.payloads import CodedLabels


def symbols_of(levels: Levels, bits: int, previous: Levels | None) -> tuple[NDArray[np.int64], int]:
    """What the coder sees, and the size of its alphabet.

    1 bit: classes 1..C, and 0 where the class is that of ``previous``; without ``previous`` the classes from 0.
    More bits: the levels row by row.
    """
    if bits > 1:
        return levels.reshape(-1), 2**bits
    classes = levels.argmax(axis=1)
    if previous is None:
        return classes, levels.shape[1]
    return np.where(classes == previous.argmax(axis=1), 0, classes + 1), levels.shape[1] + 1


def coded(levels: Levels, bits: int, previous: Levels | None = None) -> CodedLabels:
    """Levels [N, C] as a payload. ``previous`` [N, C]: what the receiver has from the last time, for 1 bit."""
    delta = previous is not None and bits == 1
    symbols, alphabet = symbols_of(levels, bits, previous if delta else None)
    data = range_coder.encode(symbols, alphabet)
    code = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0, dtype=torch.uint8)
    return CodedLabels(code, len(levels), levels.shape[1], bits, delta)


def decoded(payload: CodedLabels, previous: Levels | None = None) -> Levels:
    """The levels [N, C] in ``payload``. Raises ValueError where a delta comes without ``previous``."""
    number, classes = payload.records, payload.classes
    data = payload.code.numpy().tobytes()
    if payload.bits > 1:
        symbols = range_coder.decode(data, number * classes, 2**payload.bits)
        return np.asarray(symbols, dtype=np.int64).reshape(number, classes)
    if not payload.delta:
        labels = np.asarray(range_coder.decode(data, number, classes), dtype=np.int64)
    elif previous is None:
        raise ValueError("labels coded as changes need the labels of the round before")
    else:
        changes = np.asarray(range_coder.decode(data, number, classes + 1), dtype=np.int64)
        labels = np.where(changes == 0, previous.argmax(axis=1), changes - 1)
    return np.eye(classes, dtype=np.int64)[labels]
