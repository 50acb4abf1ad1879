"""Bounds from error rates: anchors, the simultaneous band, order of the variants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, norm

from fedprivacy.metrics import (
    auc,
    epsilon_all_thresholds,
    epsilon_at_threshold,
    epsilon_from_auc,
    epsilon_split,
    gdp_epsilon,
)
from fedprivacy.metrics.epsilon.area import auc_lower
from fedprivacy.metrics.epsilon.thresholds import _ladder, _stepped_bound


def test_anchors() -> None:
    quarter = epsilon_at_threshold(200, 500, 25, 500, delta=1e-5, level=0.9, tests=2)
    half = epsilon_at_threshold(200, 500, 25, 500, delta=1e-5, level=0.9)
    assert (quarter.low, half.low) == (pytest.approx(1.5876, abs=5e-5), pytest.approx(1.6596, abs=5e-5))


@pytest.mark.parametrize(
    ("counts", "low"), [((60, 100, 5, 100), 1.483), ((600, 1000, 50, 1000), 2.163), ((55, 100, 45, 100), 0.0)]
)
def test_anchors_at_95_percent(counts: tuple[int, int, int, int], low: float) -> None:
    assert epsilon_at_threshold(*counts, delta=1e-5).low == pytest.approx(low, abs=5e-4)


@pytest.mark.parametrize(
    ("n", "perfect", "tenth"),
    [(50, 2.57, 0), (100, 3.28, 0.30), (200, 3.98, 1.22), (500, 4.91, 2.32), (1000, 5.60, 3.10), (5000, 7.21, 4.82)],
)
def test_ceilings(n: int, perfect: float, tenth: float) -> None:
    found = epsilon_at_threshold(n // 10, n, 0, n, delta=1e-5)
    assert found.ceiling == pytest.approx(perfect, abs=0.006)
    assert found.low == pytest.approx(tenth, abs=0.006)


counts = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, counts, st.floats(0, 0.2), st.floats(0.5, 0.999))
def test_equals_the_formula(hits: tuple[int, int], alarms: tuple[int, int], delta: float, level: float) -> None:
    (tp, n1), (fp, n0) = hits, alarms
    tail = (1 - level) / 2
    fpr = beta.ppf(1 - tail, fp + 1, n0 - fp) if fp < n0 else 1.0
    fnr = beta.ppf(1 - tail, n1 - tp + 1, tp) if tp > 0 else 1.0
    ratios = [(1 - delta - fnr) / fpr, (1 - delta - fpr) / fnr]
    expected = max(0.0, *(math.log(ratio) for ratio in ratios if ratio > 0), 0.0)
    found = epsilon_at_threshold(tp, n1, fp, n0, delta=delta, level=level)
    assert found.low == pytest.approx(expected, abs=1e-7)
    assert 0 <= found.low <= found.ceiling + 1e-12


@given(counts, counts, st.integers(2, 50))
def test_more_tests_and_more_delta_mean_less(hits: tuple[int, int], alarms: tuple[int, int], tests: int) -> None:
    for curve in ("dp", "gaussian"):
        base = epsilon_at_threshold(*hits, *alarms, delta=1e-5, curve=curve).low
        assert epsilon_at_threshold(*hits, *alarms, delta=1e-5, tests=tests, curve=curve).low <= base + 1e-9
        assert epsilon_at_threshold(*hits, *alarms, delta=1e-2, curve=curve).low <= base + 1e-9


def test_delta_moves_the_bound() -> None:
    with_delta = epsilon_at_threshold(90, 100, 2, 100, delta=1e-2).low
    assert with_delta < epsilon_at_threshold(90, 100, 2, 100, delta=0.0).low


def test_the_band_holds_at_every_threshold_at_once() -> None:
    rng = np.random.default_rng(0)
    runs, n, alpha = 600, 150, 0.2
    broken = 0
    for _ in range(runs):
        out_scores, in_scores = np.sort(rng.random(n)), np.sort(rng.random(n))
        thresholds = np.concatenate([out_scores, in_scores])
        tail = alpha / (2 * _ladder(n).size)
        fpr = _stepped_bound(n - np.searchsorted(out_scores, thresholds, side="right"), n, tail)
        fnr = _stepped_bound(np.searchsorted(in_scores, thresholds, side="right"), n, tail)
        broken += bool((1 - thresholds > fpr).any() or (thresholds > fnr).any())
    assert broken <= binom.ppf(0.999, runs, alpha)
    assert broken > 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(2, 60), st.sampled_from(["dp", "gaussian"]))
def test_all_thresholds_is_the_best_of_its_rungs(seed: int, n1: int, n0: int, curve: str) -> None:
    rng = np.random.default_rng(seed)
    members, others = np.round(rng.normal(2, 1, n1), 1), np.round(rng.normal(size=n0), 1)
    found = epsilon_all_thresholds(members, others, delta=1e-5, curve=curve)
    rungs = _ladder(n1).size + _ladder(n0).size
    best = 0.0
    for threshold in np.concatenate([members, others]):
        misses = next(r for r in [*_ladder(n1), n1] if r >= (members <= threshold).sum())
        alarms = next(r for r in [*_ladder(n0), n0] if r >= (others > threshold).sum())
        one = epsilon_at_threshold(n1 - misses, n1, alarms, n0, delta=1e-5, curve=curve, level=1 - 0.1 / rungs)
        best = max(best, one.low)
    assert found.low == pytest.approx(best, abs=1e-6)
    assert found.low <= found.ceiling + 1e-9
    squeezed = epsilon_all_thresholds(np.exp(members), np.exp(others), delta=1e-5, curve=curve)
    assert squeezed.low == pytest.approx(found.low, abs=1e-12)


@pytest.mark.parametrize("curve", ["dp", "gaussian"])
def test_perfect_separation_reaches_the_ceiling(curve: str) -> None:
    members, others, rng = np.arange(300) + 1000.0, np.arange(280.0), np.random.default_rng(1)
    for found in (
        epsilon_all_thresholds(members, others, delta=1e-5, curve=curve),
        epsilon_split(members, others, delta=1e-5, rng=rng, curve=curve),
        epsilon_from_auc(members, others, delta=1e-5, curve=curve),
    ):
        assert found.ceiling > 3
        assert found.low == pytest.approx(found.ceiling, rel=0.02)
        assert found.describe()


def test_gaussian_bound_is_the_stated_one() -> None:
    fpr, fnr = beta.ppf(0.975, 26, 475), beta.ppf(0.975, 301, 200)
    expected = gdp_epsilon(float(norm.ppf(1 - fpr) - norm.ppf(fnr)), 1e-5)
    found = epsilon_at_threshold(200, 500, 25, 500, delta=1e-5, curve="gaussian")
    assert found.low == pytest.approx(expected, rel=1e-9)
    assert "Gaussian" in found.assumption


@settings(max_examples=60)
@given(st.floats(0.5, 1), st.integers(1, 3000), st.floats(0.001, 0.3))
def test_auc_lower_solves_chernoffs_bound(area: float, pairs: int, tail: float) -> None:
    low = auc_lower(area, pairs, tail)
    assert 0.5 <= low <= area
    if 0.5 < low < area < 1:
        divergence = area * math.log(area / low) + (1 - area) * math.log((1 - area) / (1 - low))
        assert math.exp(-pairs * divergence) == pytest.approx(tail, rel=1e-5)
    assert auc_lower(1.0, pairs, tail) == pytest.approx(max(0.5, tail ** (1 / pairs)))


def test_the_area_under_a_dp_curve() -> None:
    epsilon, delta = 1.3, 0.05
    fpr = np.linspace(0, 1, 200_001)
    curve = np.minimum(1, np.minimum(delta + math.exp(epsilon) * fpr, 1 - math.exp(-epsilon) * (1 - delta - fpr)))
    area = float(np.trapezoid(curve, fpr))
    members, others = _scores_with_auc(area)
    found = epsilon_from_auc(members, others, delta=delta, level=1e-9, curve="dp")
    assert auc(members, others) == pytest.approx(area, abs=1e-5)
    assert found.low == pytest.approx(epsilon, abs=2e-3)


def _scores_with_auc(area: float) -> tuple[np.ndarray, np.ndarray]:
    n = 400
    members = np.full(n, round(area * n) - 0.5)
    members[0] += round((area * n - round(area * n)) * n)
    return members, np.arange(float(n))


def test_the_smaller_group_counts_in_the_auc_bound() -> None:
    """All candidates of the large group compare with the same few of the small one, so they add no certainty."""
    found = epsilon_from_auc(np.arange(20) + 5000.0, np.arange(2000.0), delta=1e-5)
    assert found.low == found.ceiling == pytest.approx(gdp_epsilon(math.sqrt(2) * norm.ppf(0.05 ** (1 / 20)), 1e-5))
    rng = np.random.default_rng(2)
    runs = 400
    fired = sum(
        epsilon_from_auc(rng.normal(size=8), rng.normal(size=800), delta=1e-5, level=0.5).low > 0 for _ in range(runs)
    )
    assert fired <= binom.ppf(0.999, runs, 0.5)


def test_split_does_not_judge_the_half_that_chose() -> None:
    """At a low level on noise, choosing and judging on one half fires far above the stated rate."""
    rng = np.random.default_rng(3)
    runs, honest, cheating = 120, 0, 0
    for _ in range(runs):
        members, others = rng.normal(size=60), rng.normal(size=60)
        honest += epsilon_split(members, others, delta=0.0, rng=rng, level=0.5).low > 0
        best = max(
            epsilon_at_threshold(
                int((members[:30] > t).sum()), 30, int((others[:30] > t).sum()), 30, delta=0.0, level=0.5
            ).low
            for t in np.concatenate([members[:30], others[:30]])
        )
        cheating += best > 0
    assert honest <= binom.ppf(0.999, runs, 0.25)
    assert cheating > 2 * honest


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="impossible counts"):
        epsilon_at_threshold(3, 2, 0, 2, delta=0.0)
    with pytest.raises(ValueError, match="delta"):
        epsilon_at_threshold(1, 2, 0, 2, delta=1.0)
    with pytest.raises(ValueError, match="level"):
        epsilon_at_threshold(1, 2, 0, 2, delta=0.0, level=1.0)
    with pytest.raises(ValueError, match="two members"):
        epsilon_split([1.0], [0.0, 1.0], delta=0.0, rng=rng)
    with pytest.raises(ValueError, match="NaN"):
        epsilon_all_thresholds([np.nan], [0.0], delta=0.0)
    with pytest.raises(ValueError, match="delta"):
        epsilon_all_thresholds([1.0] * 9, [0.0] * 9, delta=0.0, curve="gaussian")
    with pytest.raises(TypeError, match="delta"):
        epsilon_at_threshold(1, 2, 0, 2)
