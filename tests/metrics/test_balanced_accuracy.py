"""Balanced accuracy: honest with a split threshold, optimistic by a known amount without."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm

from fedprivacy.metrics import balanced_accuracy, best_balanced_accuracy, best_balanced_chance


@pytest.mark.parametrize(("n", "expected"), [(1000, 0.514), (100, 0.54)])
def test_null_mean_of_the_maximum(n: int, expected: float) -> None:
    assert best_balanced_chance(n, n) == pytest.approx(expected, abs=0.005)
    rng = np.random.default_rng(n)
    values = [best_balanced_accuracy(rng.normal(size=n), rng.normal(size=n)) for _ in range(800)]
    assert np.mean(values) == pytest.approx(best_balanced_chance(n, n), abs=0.004)
    assert min(values) >= 0.5


def test_split_threshold_is_at_chance_on_noise() -> None:
    rng = np.random.default_rng(1)
    runs = 400
    found = [balanced_accuracy(rng.normal(size=80), rng.normal(size=90), rng) for _ in range(runs)]
    values = np.array([f.value for f in found])
    assert values.mean() == pytest.approx(0.5, abs=4 * values.std() / np.sqrt(runs))
    assert sum(f.low > 0.5 for f in found) <= binom.ppf(0.999, runs, 0.025)


def test_split_threshold_finds_a_leak_and_covers() -> None:
    rng = np.random.default_rng(2)
    found = balanced_accuracy(rng.normal(8, 1, 200), rng.normal(size=200), rng)
    assert found.value > 0.99
    runs, hits = 300, 0
    for _ in range(runs):
        # One threshold is as good as another on two-valued scores, so the truth is the same in every run.
        members, others = (rng.normal(1, 1, 100) > 0.5) * 1.0, (rng.normal(size=100) > 0.5) * 1.0
        interval = balanced_accuracy(members, others, rng)
        hits += interval.low <= norm.cdf(0.5) <= interval.high
    assert hits >= binom.ppf(0.001, runs, 0.95)


def test_perfect_separation_has_the_stated_lower_end() -> None:
    found = balanced_accuracy(np.arange(100) + 1e6, np.arange(100.0), np.random.default_rng(3))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.0125 ** (1 / 50))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="two members"):
        balanced_accuracy([1.0], [0.0, 1.0], np.random.default_rng(0))
    with pytest.raises(ValueError, match="NaN"):
        best_balanced_accuracy([np.nan], [0.0])
    with pytest.raises(ValueError, match="both groups"):
        best_balanced_chance(0, 3)
    assert best_balanced_chance(1, 1) <= 1
