"""Proportions, means over repetitions, paired differences: against scipy, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, ttest_1samp, ttest_rel

from fedprivacy.metrics import bootstrap_mean, clopper_pearson, corrected_level, mean_interval, paired_interval
from fedprivacy.metrics.intervals import binomial_lower, binomial_upper


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_clopper_pearson_equals_scipy(counts: tuple[int, int], level: float) -> None:
    expected = binomtest(*counts).proportion_ci(level, method="exact")
    found = clopper_pearson(*counts, level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_one_sided_bounds_broadcast() -> None:
    counts = np.array([0, 3, 10])
    lower, upper = binomial_lower(counts, 10, 0.05), binomial_upper(counts, 10, 0.05)
    assert lower[0] == 0
    assert upper[2] == 1
    np.testing.assert_allclose(binom.sf(counts[1:] - 1, 10, lower[1:]), 0.05)
    np.testing.assert_allclose(binom.cdf(counts[:2], 10, upper[:2]), 0.05)


def test_mean_interval_equals_scipy_and_is_cut_to_its_range() -> None:
    values = np.array([0.91, 0.99, 0.97, 1.0])
    expected = ttest_1samp(values, 0).confidence_interval(0.9)
    found = mean_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert mean_interval(values, 0.99, within=(0, 1)).high == 1


def test_one_repetition_has_no_interval_and_equal_ones_say_so() -> None:
    alone = mean_interval([0.6], within=(0, 1))
    assert (alone.value, alone.low, alone.high) == (0.6, 0, 1)
    assert mean_interval([0.6]).high == math.inf
    assert mean_interval([0.5, 0.5]).note == "all repetitions are equal"


def test_paired_interval_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=12)
    second = first + rng.normal(0.3, 0.1, size=12)
    expected = ttest_rel(first, second).confidence_interval(0.95)
    found = paired_interval(first, second)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    with pytest.raises(ValueError, match="equal shapes"):
        paired_interval(first, second[:3])


def test_bootstrap_mean_covers_and_follows_its_generator() -> None:
    rng = np.random.default_rng(1)
    runs = 300
    hits = 0
    for _ in range(runs):
        found = bootstrap_mean(rng.exponential(size=60), rng, resamples=400)
        hits += found.low <= 1 <= found.high
    assert hits >= binom.ppf(0.001, runs, 0.90)
    values = rng.normal(size=30)
    assert bootstrap_mean(values, np.random.default_rng(5)) == bootstrap_mean(values, np.random.default_rng(5))
    assert bootstrap_mean([3.0], rng).note == "one value has no spread"


def test_t_interval_covers() -> None:
    rng = np.random.default_rng(2)
    runs = 500
    hits = 0
    for _ in range(runs):
        found = mean_interval(rng.normal(0.6, 0.05, size=4))
        hits += found.low <= 0.6 <= found.high
    assert binom.ppf(0.001, runs, 0.95) <= hits <= binom.ppf(0.999, runs, 0.95)


def test_best_of_twenty_noise_statistics_stays_in_its_corrected_band() -> None:
    rng = np.random.default_rng(3)
    runs, comparisons = 400, 20
    plain = corrected = 0
    for _ in range(runs):
        counts = rng.binomial(400, 0.5, size=comparisons)
        plain += clopper_pearson(int(counts.max()), 400).low > 0.5
        corrected += clopper_pearson(int(counts.max()), 400, corrected_level(0.95, comparisons)).low > 0.5
    assert corrected <= binom.ppf(0.999, runs, 0.05)
    assert plain > 5 * max(1, corrected)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, math.nan])
def test_impossible_levels_are_refused(level: float) -> None:
    for attempt in (lambda: clopper_pearson(1, 2, level), lambda: mean_interval([1.0, 2.0], level)):
        with pytest.raises(ValueError, match="level"):
            attempt()


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="successes"):
        clopper_pearson(3, 2)
    with pytest.raises(ValueError, match="finite"):
        mean_interval([0.5, math.nan])
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean([], np.random.default_rng(0))
    with pytest.raises(ValueError, match="comparisons"):
        corrected_level(0.95, 0)
