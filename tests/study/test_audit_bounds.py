"""Bounds from scores and coins: silent on noise, strong on a leak, and pooled only where the theorem holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from fedprivacy.metrics.epsilon.one_run import one_run_bound
from fedprivacy.study.audit.bounds import bounds_of, guess_grid, noise_control

DELTA = 1e-5


def test_the_number_of_guesses_depends_on_the_number_of_canaries_alone() -> None:
    assert guess_grid(1) == (1,)
    assert guess_grid(5) == (1, 2, 4)
    assert guess_grid(1000) == (100, 400, 900)


def test_a_perfect_attack_reaches_the_ceiling_and_pays_for_every_row() -> None:
    coins = np.random.default_rng(0).random(400) < 0.5
    one = bounds_of(coins + np.random.default_rng(1).random(400) / 2, coins, delta=DELTA)
    grid = guess_grid(400)
    assert one.best.ceiling == pytest.approx(one_run_bound(400, 360, 360, DELTA, 0.05 / len(grid)))
    assert one.best.low == one.best.ceiling
    four = bounds_of(coins * 1.0, coins, delta=DELTA, rows=4)
    assert four.best.ceiling < one.best.ceiling
    assert four.best.level == pytest.approx(1 - 0.05 / 4)
    assert [bound.assumption for bound in one.apart] == [
        "the mechanism's trade-off curve is Gaussian",
        "independent candidates; none on the mechanism",
        "independent candidates; the mechanism's trade-off curve is Gaussian",
    ]


def test_without_delta_no_gaussian_curve_is_assumed() -> None:
    coins = np.arange(50) % 2 == 0
    assert [b.assumption for b in bounds_of(coins * 1.0, coins, delta=0.0).apart] == [
        "independent candidates; none on the mechanism"
    ]


@pytest.mark.parametrize("guesses", ["grid", "split", 60])
def test_noise_stays_at_zero(guesses: int | str) -> None:
    coins = np.random.default_rng(2).random(300) < 0.5
    control = noise_control(coins, delta=DELTA, guesses=guesses)
    assert control.silent
    assert control.draws == 200


@pytest.mark.parametrize("federations", [1, 6])
def test_pooled_federations_of_an_honest_mechanism_are_not_refuted(federations: int) -> None:
    """Randomised response at epsilon 1, in one run of 600 coins or in six independent runs of 100."""
    rng = np.random.default_rng(3)
    keep, runs, above = 1 / (1 + math.exp(-1.0)), 200, 0
    groups = np.repeat(np.arange(federations), 600 // federations)
    for run in range(runs):
        coins = rng.random(600) < 0.5
        answers = np.where(rng.random(600) < keep, coins, ~coins)
        above += bounds_of(answers * 1.0, coins, delta=0.0, guesses=100, groups=groups, root=run).best.low > 1
    assert above <= binom.ppf(0.999, runs, 0.05)


def test_guesses_that_copy_each_others_coin_must_not_be_pooled() -> None:
    """Why federations with known coins may not serve each other: nothing leaks, and the bound fires."""
    rng = np.random.default_rng(4)
    fired = 0
    for _ in range(400):
        coins = rng.random((100, 2)) < 0.5
        right = int((coins == coins[:, ::-1]).sum())
        fired += one_run_bound(200, 200, right, 0.0, 0.05) > 0
    assert fired > binom.ppf(0.999, 400, 0.05)


def test_groups_without_a_common_scale_are_ranked_apart() -> None:
    rng = np.random.default_rng(5)
    coins, groups = rng.random(400) < 0.5, np.repeat([0, 1], 200)
    scores = coins + rng.normal(size=400) / 4 + 100 * groups
    raw = bounds_of(scores, coins, delta=DELTA, guesses=400).best.low
    assert bounds_of(scores, coins, delta=DELTA, guesses=400, groups=groups).best.low > raw + 1


def test_unknown_guesses_are_refused() -> None:
    coins = np.arange(20) % 2 == 0
    with pytest.raises(ValueError, match="guesses are"):
        bounds_of(coins * 1.0, coins, delta=0.0, guesses="best")
