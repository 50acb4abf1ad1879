"""No record stays twice, in train or test or across; checked against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedprivacy.data.duplicates import content, describe, distinct, extra_copies
from fedprivacy.data.raw import Part


def part(values: list[int], labels: list[int]) -> Part:
    x = np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=2)
    return Part(x, np.array(labels, dtype=np.int64))


def slow(train: Part, test: Part) -> tuple[list[int], list[int]]:
    """The rule, record by record."""
    labels: dict[bytes, set[int]] = {}
    for where in (train, test):
        for x, y in zip(where.x, where.y, strict=True):
            labels.setdefault(x.tobytes(), set()).add(int(y))
    seen: set[bytes] = set()
    kept: tuple[list[int], list[int]] = [], []
    for where, out in zip((train, test), kept, strict=True):
        for i, x in enumerate(where.x):
            if x.tobytes() not in seen and len(labels[x.tobytes()]) == 1:
                out.append(i)
            seen.add(x.tobytes())
    return kept


records = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=25)


@given(records, records)
def test_the_fast_rule_is_the_slow_rule(first: list[tuple[int, int]], second: list[tuple[int, int]]) -> None:
    train, test = (part([v for v, _ in rows], [y for _, y in rows]) for rows in (first, second))
    kept = distinct(train, test)
    assert (kept.train.tolist(), kept.test.tolist()) == slow(train, test)
    removed = kept.train_copies + kept.test_copies + kept.crossing + kept.conflicting
    assert removed == len(first) + len(second) - len(kept.train) - len(kept.test)


def test_each_kind_is_counted() -> None:
    kept = distinct(part([1, 1, 2, 3, 3, 4], [0, 0, 0, 0, 1, 1]), part([2, 5, 5, 3, 6], [0, 1, 1, 0, 0]))
    assert kept.train.tolist() == [0, 2, 5] and kept.test.tolist() == [1, 4]
    assert (kept.train_copies, kept.test_copies, kept.crossing, kept.conflicting) == (1, 1, 1, 3)
    assert describe(kept) == (
        "dropped 1 exact duplicates from the training set and 1 from the test set",
        "dropped 1 test records that also stand in the training set",
        "dropped 3 records whose copies carry different labels (every copy, both sets)",
    )


def test_nothing_is_said_where_nothing_went() -> None:
    assert describe(distinct(part([1, 2], [0, 1]), part([3], [0]))) == ()


def test_hashes_follow_the_content() -> None:
    rng = np.random.default_rng(0)
    x: NDArray[np.float32] = rng.normal(size=(50, 7)).astype(np.float32)
    x[31] = x[4]
    hashes = content(x)
    assert len(np.unique(hashes)) == 49 and hashes[31] == hashes[4]
    x[31, 6] = np.nextafter(x[31, 6], np.float32(9))
    assert len(np.unique(content(x))) == 50 and extra_copies(x) == 0
    assert np.array_equal(content(x[::2]), content(x)[::2])
    assert len(content(x[:0])) == 0
