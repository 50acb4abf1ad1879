"""The paired difference of two AUCs: its value, its coverage, and that pairing helps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from fedprivacy.metrics.auc_difference import auc_difference
from fedprivacy.metrics.roc import auc


def drawn(seed: int, n: int = 200, first: float = 0.8, second: float = 0.4) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    coins = rng.random(n) < 0.5
    shared = rng.standard_normal(n)
    return (
        shared + rng.standard_normal(n) + first * coins,
        shared + rng.standard_normal(n) + second * coins,
        coins,
    )


def test_value_is_the_difference_of_the_aucs() -> None:
    a, b, coins = drawn(0)
    expected = auc(a[coins], a[~coins]) - auc(b[coins], b[~coins])
    assert auc_difference(a, b, coins).value == pytest.approx(expected, abs=1e-12)


def test_swapping_the_scores_mirrors_the_interval() -> None:
    a, b, coins = drawn(1)
    one, other = auc_difference(a, b, coins), auc_difference(b, a, coins)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_a_score_does_not_differ_from_itself() -> None:
    a, _, coins = drawn(2)
    found = auc_difference(a, np.exp(a), coins)
    assert (found.low, found.value, found.high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_interval_misses_no_difference_at_its_rate() -> None:
    runs = 400
    misses = 0
    for seed in range(runs):
        a, b, coins = drawn(seed, first=0.6, second=0.6)
        found = auc_difference(a, b, coins)
        misses += not found.low <= 0 <= found.high
    assert misses <= binom.ppf(0.999, runs, 0.05)
    assert misses >= binom.ppf(0.001, runs, 0.05)


def test_refuses_a_group_of_one() -> None:
    with pytest.raises(ValueError, match="two candidates"):
        auc_difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], np.array([True, False, False]))
