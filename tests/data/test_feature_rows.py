"""Features: finite, one-hot."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import OneHotEncoder

from fedprivacy.config.base import UsageError
from fedprivacy.data.features import as_features, one_hot


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
