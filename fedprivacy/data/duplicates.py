"""Exact duplicates, found by a hash of each stored record.

A copy of a member that stands among the non-members, in a public fold or in the test set makes a membership test
measure the copies. After :func:`distinct` no record occurs twice anywhere. Near duplicates (augmented copies,
re-encoded images) are not found.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedprivacy.data.raw import Array, Labels, Part

Hashes = NDArray[np.void]


@dataclass(frozen=True, eq=False)
class Kept:
    """Positions that stay (ascending), and how many records went: copies within train, copies within test, test
    records that also stand in train, and records (all copies, both sets) whose copies carry different labels."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    train_copies: int
    test_copies: int
    crossing: int
    conflicting: int


def content(x: Array) -> Hashes:
    """A 128-bit BLAKE2b hash of each record of ``x`` [N, ...]: equal bytes, equal hash. Returns [N] of 16 bytes."""
    if not len(x):
        return np.empty(0, dtype="V16")
    stored = np.ascontiguousarray(x).reshape(-1).view(np.uint8).data
    width = len(stored) // len(x)
    rows = (stored[start : start + width] for start in range(0, len(stored), width))
    return np.frombuffer(b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in rows), dtype="V16")


def extra_copies(x: Array) -> int:
    """How many records of ``x`` [N, ...] are a copy of an earlier one."""
    return len(x) - len(np.unique(content(x)))


def distinct(train: Part, test: Part) -> Kept:
    """Choose records so that none occurs twice in train and test together.

    Train keeps the first copy of each record. Test keeps the first copy of each record that train does not hold.
    Where copies of one record carry different labels its class is unknown: every copy goes, from both sets.
    """
    border = len(train.y)
    hashes = np.concatenate([content(train.x), content(test.x)])
    labels: Labels = np.concatenate([train.y, test.y])
    _, first, record = np.unique(hashes, return_index=True, return_inverse=True)
    record = record.reshape(-1)
    lowest = np.full(len(first), np.iinfo(np.int64).max)
    highest = np.full(len(first), np.iinfo(np.int64).min)
    np.minimum.at(lowest, record, labels)
    np.maximum.at(highest, record, labels)
    disputed = (lowest != highest)[record]
    is_first = np.zeros(len(labels), dtype=np.bool_)
    is_first[first] = True
    in_test = np.arange(len(labels)) >= border
    crossing = in_test & (first[record] < border) & ~disputed
    keep = is_first & ~disputed
    copies = ~is_first & ~disputed & ~crossing
    return Kept(
        train=np.flatnonzero(keep[:border]),
        test=np.flatnonzero(keep[border:]),
        train_copies=int(copies[:border].sum()),
        test_copies=int(copies[border:].sum()),
        crossing=int(crossing.sum()),
        conflicting=int(disputed.sum()),
    )


def describe(kept: Kept) -> tuple[str, ...]:
    """What :func:`distinct` removed, in sentences; empty when it removed nothing."""
    notes = []
    if kept.train_copies or kept.test_copies:
        notes.append(
            f"dropped {kept.train_copies:,} exact duplicates from the training set "
            f"and {kept.test_copies:,} from the test set"
        )
    if kept.crossing:
        notes.append(f"dropped {kept.crossing:,} test records that also stand in the training set")
    if kept.conflicting:
        notes.append(
            f"dropped {kept.conflicting:,} records whose copies carry different labels (every copy, both sets)"
        )
    return tuple(notes)
