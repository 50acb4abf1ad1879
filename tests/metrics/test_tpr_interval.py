"""The interval of TPR at a population FPR: against a slow search, its coverage, and that of the bootstrap."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, ks_2samp, norm

from fedprivacy.metrics import clopper_pearson, spent_fpr, tpr_at_fpr, tpr_bootstrap, tpr_interval
from fedprivacy.metrics.tpr_interval import _brackets


@given(st.integers(1, 400), st.sampled_from([0.001, 0.01, 0.1, 0.5, 0.97]), st.sampled_from([0.0125, 0.025, 0.2]))
def test_brackets_equal_a_slow_search(n0: int, fpr: float, tail: float) -> None:
    ranks = np.arange(n0)
    above = ranks[beta.sf(fpr, ranks + 1, n0 - ranks) <= tail]
    below = ranks[beta.cdf(fpr, ranks + 1, n0 - ranks) <= tail]
    expected = (int(above.max()) if above.size else -1, int(below.min()) if below.size else n0)
    assert _brackets(n0, fpr, tail) == expected


@pytest.mark.parametrize(("n", "fpr", "runs"), [(500, 0.1, 400), (1000, 0.01, 400), (5000, 0.001, 300)])
def test_coverage_where_the_usual_interval_fails(n: int, fpr: float, runs: int) -> None:
    rng = np.random.default_rng(n)
    truth = norm.sf(norm.isf(fpr) - 1)
    hits = naive = bootstrap = 0
    for _ in range(runs):
        members, others = rng.normal(1, 1, n), rng.normal(size=n)
        found = tpr_interval(members, others, fpr)
        hits += found.low <= truth <= found.high
        usual = clopper_pearson(round(found.value * n), n)
        naive += usual.low <= truth <= usual.high
        approximate = tpr_bootstrap(members, others, fpr, rng, resamples=400)
        bootstrap += approximate.low <= truth <= approximate.high
    assert hits >= binom.ppf(0.001, runs, 0.98)
    assert naive <= binom.ppf(0.999, runs, 0.85)
    assert bootstrap >= binom.ppf(0.001, runs, 0.92)


def test_coverage_with_ties() -> None:
    """Scores on a grid: the target is the TPR of the strictest rule "score > t" with an FPR of at most 5%."""
    rng = np.random.default_rng(6)
    runs, n, fpr = 400, 300, 0.05
    grid = np.arange(-30, 31) / 2
    cut = grid[norm.sf(grid + 0.25) <= fpr].min()
    truth = norm.sf(cut + 0.25 - 1)
    hits = 0
    for _ in range(runs):
        members, others = np.round(rng.normal(1, 1, n) * 2) / 2, np.round(rng.normal(size=n) * 2) / 2
        found = tpr_interval(members, others, fpr)
        hits += found.low <= truth <= found.high
    assert hits >= binom.ppf(0.001, runs, 0.95)


@pytest.mark.parametrize(("enough", "fpr"), [(42, 0.1), (437, 0.01), (4380, 0.001)])
def test_a_lower_end_above_zero_needs_enough_non_members(enough: int, fpr: float) -> None:
    members = np.full(1000, 1e9)
    assert tpr_interval(members, np.arange(enough), fpr).low > 0.99
    assert tpr_interval(members, np.arange(enough - 1), fpr).low == 0
    assert tpr_interval(members, np.arange(enough - 1), fpr).high == 1


def test_too_few_non_members_give_no_upper_end() -> None:
    assert tpr_interval([0.0] * 50, [1.0], 0.5).high == 1
    assert tpr_interval([0.0] * 50, [1.0], 0.5).low == 0


def test_bootstrap_equals_resampling_every_score() -> None:
    rng = np.random.default_rng(7)
    members, others = np.round(rng.normal(0.7, 1, 80), 1), np.round(rng.normal(size=60), 1)
    slow = []
    for _ in range(2000):
        a, b = rng.choice(members, 80), rng.choice(others, 60)
        slow.append(tpr_at_fpr(a, b, 0.1).true_positives / 80)
    fast = [tpr_bootstrap(members, others, 0.1, rng, level=1e-9, resamples=1).low for _ in range(2000)]
    assert ks_2samp(slow, fast).pvalue > 0.01
    assert tpr_bootstrap(members, others, 0.1, rng).note == "approximate"


def test_spent_fpr_covers() -> None:
    rng = np.random.default_rng(8)
    runs = 500
    hits = 0
    for _ in range(runs):
        point = tpr_at_fpr([0.0], rng.normal(size=400), 0.05)
        found = spent_fpr(point)
        hits += found.low <= norm.sf(point.threshold) <= found.high
    assert binom.ppf(0.001, runs, 0.95) <= hits <= binom.ppf(0.999, runs, 0.95)


def test_twenty_thousand_a_side_take_milliseconds() -> None:
    rng = np.random.default_rng(9)
    members, others = rng.normal(0.3, 1, 20_000), rng.normal(size=20_000)
    fastest = math.inf
    for _ in range(5):
        _brackets.cache_clear()
        begin = time.perf_counter()
        tpr_interval(members, others, 0.001)
        fastest = min(fastest, time.perf_counter() - begin)
    assert fastest < 0.1
