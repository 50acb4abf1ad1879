"""Guesses from scores: who is guessed, ties, grids, halves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from fedprivacy.metrics import correct_guesses, one_run_epsilon, one_run_from_scores, one_run_split


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_counts_equal_a_plain_loop(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    scores, coins = rng.permutation(m).astype(float), rng.random(m) < 0.5
    for r in range(m + 1):
        n_in = r - r // 2
        right = sum(coins[i] for i in range(m) if scores[i] >= m - n_in)
        right += sum(not coins[i] for i in range(m) if scores[i] < r // 2)
        assert correct_guesses(scores, coins, [r], rng) == [right]


def test_the_order_of_tied_candidates_decides_nothing() -> None:
    rng = np.random.default_rng(0)
    runs, coins = 400, np.arange(200) < 100
    fired = sum(one_run_from_scores(np.zeros(200), coins, delta=1e-5, rng=rng).low > 0 for _ in range(runs))
    assert fired <= binom.ppf(0.999, runs, 0.05)


def test_fixed_guesses_are_the_plain_bound() -> None:
    rng = np.random.default_rng(1)
    coins = rng.random(300) < 0.5
    scores = rng.normal(size=300) + 2 * coins
    found = one_run_from_scores(scores, coins, delta=1e-5, rng=rng, guesses=80)
    right = correct_guesses(scores, coins, [80], rng)[0]
    plain = one_run_epsilon(300, 80, right, delta=1e-5)
    assert (found.low, found.ceiling) == (plain.low, plain.ceiling)
    assert found.detail == {"m": 300, "r": 80, "v": right, "tests": 1}
    assert found.describe() == f"m=300, r=80, v={right}, tests=1"


@pytest.mark.parametrize("curve", ["dp", "gaussian"])
def test_a_grid_is_paid_for(curve: str) -> None:
    rng = np.random.default_rng(2)
    coins = rng.random(150) < 0.5
    scores = rng.normal(size=150) + 3 * coins
    grid = one_run_from_scores(scores, coins, delta=1e-5, rng=rng, curve=curve)
    assert grid.detail["tests"] == 4
    each = [
        one_run_from_scores(scores, coins, delta=1e-5, rng=rng, curve=curve, guesses=r, level=1 - 0.05 / 4)
        for r in (10, 20, 50, 100)
    ]
    assert grid.low == pytest.approx(max(one.low for one in each), abs=1e-7)
    assert grid.ceiling == pytest.approx(max(one.ceiling for one in each), abs=1e-7)


def test_few_canaries_guess_all_of_them() -> None:
    rng = np.random.default_rng(3)
    coins = rng.random(7) < 0.5
    assert one_run_from_scores(coins * 1.0, coins, delta=1e-5, rng=rng).detail["r"] == 7


@pytest.mark.parametrize("curve", ["dp", "gaussian"])
def test_split_judges_only_the_other_half(curve: str) -> None:
    rng = np.random.default_rng(4)
    coins = rng.random(401) < 0.5
    scores = rng.normal(size=401) + 6 * coins
    found = one_run_split(scores, coins, delta=1e-5, rng=rng, curve=curve)
    assert found.detail["m"] == 201
    assert found.detail["r"] <= 200
    assert 0 < found.low <= found.ceiling


def test_same_seed_same_bound() -> None:
    coins = np.random.default_rng(5).random(100) < 0.5
    scores = np.round(np.random.default_rng(6).normal(size=100) + coins)
    for audit in (one_run_from_scores, one_run_split):
        first, second = (audit(scores, coins, delta=1e-5, rng=np.random.default_rng(7)) for _ in range(2))
        assert first == second


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    coins = np.array([True, False])
    with pytest.raises(ValueError, match="guesses"):
        one_run_from_scores([1.0, 2.0], coins, delta=0.0, rng=rng, guesses=3)
    with pytest.raises(ValueError, match="NaN"):
        one_run_from_scores([1.0, np.nan], coins, delta=0.0, rng=rng)
    with pytest.raises(ValueError, match="booleans"):
        one_run_from_scores([1.0, 2.0], [0, 1], delta=0.0, rng=rng)
    with pytest.raises(ValueError, match="two canaries"):
        one_run_split([1.0], coins[:1], delta=0.0, rng=rng)
    with pytest.raises(TypeError, match="delta"):
        one_run_from_scores([1.0, 2.0], coins, rng=rng)
