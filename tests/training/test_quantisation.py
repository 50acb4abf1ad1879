"""The quantiser: optimal by brute force, on its grid, unbiased in ties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.training.quantisation import dequantised, quantised


def grid(classes: int, steps: int) -> np.ndarray:
    """All points with whole coordinates that sum to ``steps``."""
    points = [p for p in itertools.product(range(steps + 1), repeat=classes) if sum(p) == steps]
    return np.array(points)


@pytest.mark.parametrize(("classes", "bits"), [(2, 1), (2, 4), (3, 2), (3, 3), (4, 2), (5, 2), (4, 3)])
def test_nothing_on_the_grid_is_nearer(classes: int, bits: int) -> None:
    steps = 2**bits - 1
    draw = np.random.default_rng(classes * 10 + bits)
    rows = np.concatenate([draw.dirichlet(np.full(classes, a), size=40) for a in (0.1, 1.0, 10.0)])
    points = grid(classes, steps) / steps
    best = np.abs(rows[:, None, :] - points[None]).sum(axis=2).min(axis=1)
    ours = np.abs(rows - dequantised(quantised(rows, bits, draw), bits).astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(ours, best, atol=1e-6)


@given(st.integers(2, 12), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_lands_on_the_grid(classes: int, bits: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = draw.dirichlet(np.ones(classes), size=5).astype(np.float32)
    levels = quantised(rows, bits, draw)
    assert levels.min() >= 0
    assert (levels.sum(axis=1) == 2**bits - 1).all()
    assert np.abs(dequantised(levels, bits) - rows).max() <= 1 / (2**bits - 1) + 1e-6


@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_one_bit_is_the_most_likely_class(classes: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = draw.dirichlet(np.ones(classes), size=5)
    np.testing.assert_array_equal(quantised(rows, 1, draw).argmax(axis=1), rows.argmax(axis=1))


def test_a_grid_point_stays_where_it_is() -> None:
    levels = grid(3, 7)
    np.testing.assert_array_equal(quantised(levels / 7, 3, np.random.default_rng(0)), levels)


def test_ties_fall_evenly_and_by_seed() -> None:
    rows = np.full((4000, 4), 0.25)
    levels = quantised(rows, 1, np.random.default_rng(0))
    np.testing.assert_allclose(levels.mean(axis=0), 0.25, atol=0.04)
    np.testing.assert_array_equal(levels, quantised(rows, 1, np.random.default_rng(0)))
    assert (levels != quantised(rows, 1, np.random.default_rng(1))).any()
