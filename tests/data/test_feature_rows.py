"""Features: finite, one-hot, standardised by the training rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fedprivacy.config.base import UsageError
from fedprivacy.data.features import as_features, one_hot, standardise


def test_the_first_bad_value_is_named() -> None:
    x = np.zeros((5, 4))
    x[3, 1] = np.inf
    x[2, 3] = np.nan
    with pytest.raises(UsageError, match=r"here is nan at row 2, column 3, .*2 values"):
        as_features(x, "here")
    with pytest.raises(UsageError, match=r"column 3 \(d\)"):
        as_features(x, "here", ["a", "b", "c", "d"])
    x[2, 3] = x[3, 1] = 1e300
    with pytest.raises(UsageError, match=r"1e\+300 at row 2"):
        as_features(x, "here")


def test_strings_are_no_features() -> None:
    with pytest.raises(UsageError, match="expected numbers"):
        as_features(np.array([["a"]]), "here")


def test_negative_zero_has_the_bytes_of_zero() -> None:
    assert as_features(np.array([[-0.0]]), "x").tobytes() == as_features(np.array([[0.0]]), "x").tobytes()


def test_one_hot_is_scikit_learns() -> None:
    codes = np.random.default_rng(0).integers(0, 5, 40)
    expected = OneHotEncoder(categories=[range(7)], sparse_output=False).fit_transform(codes[:, None])
    assert np.array_equal(one_hot(codes, 7, "x"), expected)


@pytest.mark.parametrize("code", [-1, 3])
def test_one_hot_names_an_unknown_category(code: int) -> None:
    with pytest.raises(UsageError, match=rf"x is {code} at row 1; .*from 0 to 2"):
        one_hot(np.array([0, code]), 3, "x")


def test_standardising_is_scikit_learns_on_the_columns_that_are_not_binary() -> None:
    rng = np.random.default_rng(0)
    train = rng.normal(50, 9, (200, 4)).astype(np.float32)
    test = rng.normal(40, 3, (50, 4)).astype(np.float32)
    train[:, 1], test[:, 1] = rng.integers(0, 2, 200), rng.integers(0, 2, 50)
    before = train.copy(), test.copy()
    x, z, count = standardise(train, test)
    assert count == 3 and x.dtype == z.dtype == np.float32
    assert np.array_equal(train, before[0]) and np.array_equal(test, before[1])
    assert np.array_equal(x[:, 1], train[:, 1]) and np.array_equal(z[:, 1], test[:, 1])
    scaler = StandardScaler().fit(train.astype(np.float64))
    for column in (0, 2, 3):
        assert np.allclose(x[:, column], scaler.transform(train.astype(np.float64))[:, column], atol=1e-5)
        assert np.allclose(z[:, column], scaler.transform(test.astype(np.float64))[:, column], atol=1e-5)


@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 5))
def test_a_constant_column_becomes_exactly_zero(level: float, rows: int) -> None:
    train = np.full((rows, 1), level, dtype=np.float32)
    x, z, _ = standardise(train, train + 1)
    assert np.isfinite(z).all() and (level in (0.0, 1.0) or not x.any())


def test_binary_features_are_untouched() -> None:
    train = np.random.default_rng(0).integers(0, 2, (9, 5)).astype(np.float32)
    x, z, count = standardise(train, train)
    assert x is train and z is train and count == 0
