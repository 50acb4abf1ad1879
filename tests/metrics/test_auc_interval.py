"""DeLong on the logit scale: its variance against the double sum, its coverage, its edge cases, its speed."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom, norm

from fedprivacy.metrics import auc, auc_interval

tied = arrays(np.float64, st.integers(1, 15), elements=st.integers(-3, 3).map(float))


@given(tied, tied)
def test_equals_the_double_sum_or_is_one_of_the_stated_edge_cases(members: np.ndarray, others: np.ndarray) -> None:
    kernel = (members[:, None] > others) + 0.5 * (members[:, None] == others)
    area = kernel.mean()
    found = auc_interval(members, others, 0.9)
    assert found.value == pytest.approx(area)
    assert found.value == pytest.approx(auc(members, others))
    assert 0 <= found.low <= found.value <= found.high <= 1
    if np.ptp(kernel) == 0 or min(kernel.shape) < 2:
        assert found.note
        return
    error = math.sqrt(kernel.mean(1).var(ddof=1) / members.size + kernel.mean(0).var(ddof=1) / others.size)
    centre, half = math.log(area / (1 - area)), norm.ppf(0.95) * error / (area * (1 - area))
    expected = [1 / (1 + math.exp(-centre + half)), 1 / (1 + math.exp(-centre - half))]
    assert [found.low, found.high] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "area"), [(50, 0.96), (30, 0.99), (200, 0.6), (60, 0.5)])
def test_coverage(n: int, area: float) -> None:
    rng = np.random.default_rng(n)
    shift = math.sqrt(2) * norm.ppf(area)
    runs = 600
    hits = 0
    for _ in range(runs):
        found = auc_interval(rng.normal(shift, 1, n), rng.normal(size=n))
        hits += found.low <= area <= found.high
    assert hits >= binom.ppf(0.001, runs, 0.94)


def test_edge_cases() -> None:
    perfect = auc_interval([2.0, 3.0, 4.0], [0.0, 1.0])
    assert (perfect.value, perfect.low, perfect.high) == (1.0, pytest.approx(0.025**0.5), 1.0)
    reversed_ = auc_interval([0.0, 1.0], [2.0, 3.0, 4.0])
    assert (reversed_.value, reversed_.low, reversed_.high) == (0.0, 0.0, pytest.approx(1 - 0.025**0.5))
    constant = auc_interval([1.0] * 5, [1.0] * 7)
    assert (constant.value, constant.low, constant.high, constant.note) == (0.5, 0.0, 1.0, "constant score")
    single = auc_interval([1.0], [0.0, 2.0, 3.0])
    assert (single.low, single.high) == (0.0, 1.0)
    infinite = auc_interval([np.inf, 0.0, 1.0], [-np.inf, 0.5, 2.0])
    assert 0 < infinite.low < infinite.value < infinite.high < 1
    with pytest.raises(ValueError, match="NaN"):
        auc_interval([np.nan], [1.0])


def test_perfect_separation_covers() -> None:
    rng = np.random.default_rng(4)
    runs, n, shift = 500, 12, 2.2
    area = norm.cdf(shift / math.sqrt(2))
    misses = 0
    for _ in range(runs):
        found = auc_interval(rng.normal(shift, 1, n), rng.normal(size=n))
        misses += found.value == 1 and found.low > area
    assert misses <= binom.ppf(0.999, runs, 0.025)


def test_twenty_thousand_a_side_take_milliseconds() -> None:
    rng = np.random.default_rng(5)
    members, others = rng.normal(0.3, 1, 20_000), rng.normal(size=20_000)
    fastest = math.inf
    for _ in range(5):
        begin = time.perf_counter()
        auc_interval(members, others)
        fastest = min(fastest, time.perf_counter() - begin)
    assert fastest < 0.1
