"""Staleness weights against their formulas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.training.staleness import hinge, polynomial


@pytest.mark.parametrize(("late", "expected"), [(0, 1.0), (3, 0.5), (8, 1 / 3)])
def test_polynomial(late: int, expected: float) -> None:
    assert polynomial(late, 0.5) == pytest.approx(expected)


@pytest.mark.parametrize(("late", "expected"), [(0, 1.0), (4, 1.0), (5, 1 / 11), (6, 1 / 21)])
def test_hinge(late: int, expected: float) -> None:
    assert hinge(late, 10.0, 4) == pytest.approx(expected)


@given(st.integers(0, 50), st.floats(0, 3), st.floats(0.1, 20), st.integers(0, 10))
def test_weights_never_grow_with_staleness(late: int, exponent: float, slope: float, start: int) -> None:
    assert 0 < polynomial(late + 1, exponent) <= polynomial(late, exponent) <= 1
    assert 0 < hinge(late + 1, slope, start) <= hinge(late, slope, start) <= 1
