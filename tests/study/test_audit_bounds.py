"""Bounds from scores and coins: silent on noise, strong on a leak, and pooled only where the theorem holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon, gdp_mu
from fedprivacy.metrics.epsilon.one_run import one_run_bound
from fedprivacy.study.audit.bounds import _if_gaussian, bounds_of, guess_grid, noise_control

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


def test_of_log_odds_the_surest_are_guessed_wherever_they_are() -> None:
    """One client of five tells much, and guesses about the others would be drawn by lot."""
    rng = np.random.default_rng(9)
    coins, groups = rng.random(2000) < 0.5, np.repeat(np.arange(5), 400)
    strength = np.where(groups == 0, 3.0, 0.1)
    scores = strength * (rng.normal(size=2000) + strength * (coins - 0.5))
    ranked, raw = (bounds_of(scores, coins, delta=DELTA, guesses=200, groups=groups, odds=o) for o in (False, True))
    assert raw.best.low > ranked.best.low + 1
    assert raw.estimate == ranked.estimate
    noise = bounds_of(rng.permutation(scores), coins, delta=DELTA, guesses=200, groups=groups, odds=True)
    assert noise.best.low == 0


def test_unknown_guesses_are_refused() -> None:
    coins = np.arange(20) % 2 == 0
    with pytest.raises(ValueError, match="guesses are"):
        bounds_of(coins * 1.0, coins, delta=0.0, guesses="best")


def test_the_estimate_is_the_epsilon_of_the_shift_whatever_scale_each_client_has() -> None:
    rng = np.random.default_rng(7)
    coins, groups = rng.random(6000) < 0.5, np.repeat(np.arange(6), 1000)
    scores = (rng.normal(size=6000) + gdp_mu(4.0, DELTA) * coins) * (1 + groups) + 10 * groups
    found = bounds_of(scores, coins, delta=DELTA, groups=groups).estimate
    assert found is not None
    assert found.low < 4 < found.high
    assert found.high - found.low < 1


def test_there_is_no_estimate_of_what_is_not_gaussian_or_has_no_spread() -> None:
    rng = np.random.default_rng(8)
    coins = rng.random(2000) < 0.5
    assert bounds_of(rng.standard_cauchy(2000) + coins, coins, delta=DELTA).estimate is None
    assert bounds_of(coins * 1.0, coins, delta=DELTA).estimate is None
    assert bounds_of(rng.normal(size=2000), coins, delta=0.0).estimate is None
    assert bounds_of(rng.normal(size=20), coins[:20], delta=DELTA).estimate is None


def test_the_interval_of_the_estimate_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for draw in range(200):
        rng = np.random.default_rng(draw)
        coins = rng.random(400) < 0.5
        found = _if_gaussian(rng.normal(size=400) + 1.0 * coins, coins, None, DELTA, 0.95)
        assert found is not None
        covered += found.low <= gdp_epsilon(1.0, DELTA) <= found.high
    assert covered >= binom.ppf(0.001, 200, 0.95)
