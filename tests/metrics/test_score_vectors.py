"""Checked score vectors, groups by coin and mid-ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from fedprivacy.metrics import by_coin, mid_ranks
from fedprivacy.metrics.scores import midway


@given(arrays(np.float64, st.integers(1, 60), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf])))
def test_mid_ranks_equal_scipy(values: np.ndarray) -> None:
    np.testing.assert_array_equal(mid_ranks(values), rankdata(values))


def test_by_coin_splits_and_refuses_what_cannot_be_split() -> None:
    members, non_members = by_coin([1.0, 2.0, 3.0], np.array([True, False, True]))
    assert members.tolist() == [1, 3]
    assert non_members.tolist() == [2]
    with pytest.raises(ValueError, match="one side"):
        by_coin([1.0, 2.0], np.array([True, True]))
    with pytest.raises(ValueError, match="booleans"):
        by_coin([1.0, 2.0], np.array([1, 0]))
    with pytest.raises(ValueError, match="shape"):
        by_coin([1.0, 2.0], np.array([True]))
    with pytest.raises(ValueError, match="NaN"):
        by_coin([1.0, np.nan], np.array([True, False]))


@given(
    arrays(
        np.float64,
        st.integers(1, 30),
        elements=st.floats(allow_nan=False) | st.sampled_from([-np.inf, np.inf, 1.0, np.nextafter(1, 2)]),
    )
)
def test_thresholds_midway_call_the_same_scores_members(values: np.ndarray) -> None:
    distinct = np.unique(values)
    thresholds = midway(distinct)
    np.testing.assert_array_equal(values[:, None] > thresholds, values[:, None] > distinct)
    assert (thresholds >= distinct).all()


def test_thresholds_midway_lie_halfway() -> None:
    assert midway(np.array([-np.inf, 0.0, 1.0, 4.0, np.inf])).tolist() == [-np.inf, 0.5, 2.5, 4.0, np.inf]
