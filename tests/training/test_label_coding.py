"""Coded labels: round trips with and without delta coding, through the wire."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.training.label_coding import coded, decoded, symbols_of
from fedprivacy.training.quantisation import quantised
from fedprivacy.wire.codec import decode, encode, value_bytes
from fedprivacy.wire.payloads import CodedLabels


def some_levels(seed: int, records: int, classes: int, bits: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return quantised(draw.dirichlet(np.full(classes, 0.3), size=records), bits, draw)


def through_the_wire(payload: CodedLabels) -> CodedLabels:
    arrived = decode(encode(payload))
    assert isinstance(arrived, CodedLabels)
    return arrived


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(2, 12), st.integers(1, 8))
def test_plain_round_trip(seed: int, records: int, classes: int, bits: int) -> None:
    levels = some_levels(seed, records, classes, bits)
    np.testing.assert_array_equal(decoded(through_the_wire(coded(levels, bits))), levels)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 12))
def test_delta_round_trip(seed: int, records: int, classes: int) -> None:
    old, new = some_levels(seed, records, classes, 1), some_levels(seed + 1, records, classes, 1)
    payload = through_the_wire(coded(new, 1, old))
    assert payload.delta
    np.testing.assert_array_equal(decoded(payload, old), new)


def test_delta_is_small_where_little_changes() -> None:
    old = some_levels(0, 2000, 10, 1)
    new = old.copy()
    new[:40] = np.roll(old[:40], 1, axis=1)
    plain, delta = coded(new, 1), coded(new, 1, old)
    assert len(delta.code) < len(plain.code) / 5
    assert value_bytes(encode(delta)) == len(delta.code)


def test_plain_costs_at_most_the_logarithm_of_the_classes() -> None:
    levels = np.eye(10, dtype=np.int64)[np.random.default_rng(0).integers(0, 10, 3000)]
    assert len(coded(levels, 1).code) <= 1.01 * 3000 * np.log2(10) / 8 + 8


def test_unchanged_records_are_the_symbol_zero() -> None:
    old = np.eye(3, dtype=np.int64)[[0, 1, 2]]
    new = np.eye(3, dtype=np.int64)[[0, 2, 2]]
    symbols, alphabet = symbols_of(new, 1, old)
    assert (symbols.tolist(), alphabet) == ([0, 3, 0], 4)


def test_changes_without_a_reference_are_refused() -> None:
    levels = some_levels(0, 5, 3, 1)
    with pytest.raises(ValueError, match="round before"):
        decoded(coded(levels, 1, levels))
