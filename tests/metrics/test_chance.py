"""Chance bands against simulation and anchors, and the exact null test on a bank of noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from fedprivacy.metrics import auc, auc_chance, null_test, tpr_at_fpr, tpr_chance


@pytest.mark.parametrize(("n", "half"), [(2000, 0.018), (200, 0.057), (50, 0.114)])
def test_auc_band_anchors(n: int, half: float) -> None:
    band = auc_chance(n, n)
    assert band.value == 0.5
    assert band.high - 0.5 == pytest.approx(half, abs=5e-4) == 0.5 - band.low


@given(st.integers(1, 200), st.integers(1, 500), st.sampled_from([0.001, 0.01, 0.1, 0.5]), st.floats(0.5, 0.99))
def test_tpr_band_equals_scipy(n1: int, n0: int, fpr: float, level: float) -> None:
    allowed = math.floor(fpr * n0 + 1e-9)
    law = betabinom(n1, allowed + 1, n0 - allowed)
    band = tpr_chance(n1, n0, fpr, level)
    assert band.value == pytest.approx(law.mean() / n1)
    for end, share in ((band.low, (1 - level) / 2), (band.high, (1 + level) / 2)):
        count = round(end * n1)
        assert law.cdf(count) >= share - 1e-9
        assert law.cdf(count - 1) <= share + 1e-9


def test_chance_at_a_tenth_of_a_percent_is_not_a_tenth_of_a_percent() -> None:
    band = tpr_chance(2000, 2000, 0.001)
    assert band.high == 0.0045
    assert band.value * 2000 == pytest.approx(3, abs=2e-3)


def test_bands_hold_in_simulation() -> None:
    rng = np.random.default_rng(0)
    runs, n1, n0 = 2000, 150, 220
    area, rate = auc_chance(n1, n0), tpr_chance(n1, n0, 0.05)
    inside_area = inside_rate = 0
    rates = []
    for _ in range(runs):
        members, others = rng.normal(size=n1), rng.normal(size=n0)
        inside_area += area.low <= auc(members, others) <= area.high
        rates.append(tpr_at_fpr(members, others, 0.05).tpr)
        inside_rate += rate.low <= rates[-1] <= rate.high
    assert binom.ppf(0.001, runs, 0.95) <= inside_area <= binom.ppf(0.999, runs, 0.95)
    assert inside_rate >= binom.ppf(0.001, runs, 0.95)
    assert np.mean(rates) == pytest.approx(rate.value, abs=4 * np.std(rates) / math.sqrt(runs))


def calibrated_auc(logp: np.ndarray, coins: np.ndarray) -> float:
    """Mean AUC over the models of a bank, each calibrated by the others that left the candidate out."""
    left_out = ~coins
    total, count = (left_out * logp).sum(0) - left_out * logp, left_out.sum(0) - left_out
    scores = logp - total / np.maximum(count, 1)
    return float(np.mean([auc(s[c], s[~c]) for s, c in zip(scores, coins, strict=True)]))


def test_null_test_is_exact_on_noise() -> None:
    rng = np.random.default_rng(1)
    runs = 300
    small = 0
    for _ in range(runs):
        logp = rng.normal(size=(3, 40)) + rng.normal(size=40)
        coins = rng.random((3, 40)) < 0.5
        found = null_test(lambda drawn, logp=logp: calibrated_auc(logp, drawn), coins, rng, redraws=19)
        small += found.p_value <= 0.1
    assert binom.ppf(0.001, runs, 0.1) <= small <= binom.ppf(0.999, runs, 0.1)


def test_null_test_of_a_bank_agrees_with_theory_and_finds_a_leak() -> None:
    rng = np.random.default_rng(2)
    coins = rng.random((8, 500)) < 0.5
    noise = rng.normal(size=(8, 500)) + 2 * rng.normal(size=500)
    null = null_test(lambda drawn: calibrated_auc(noise, drawn), coins, rng, redraws=400)
    assert null.null_mean == pytest.approx(0.5, abs=4 * null.null_sd / math.sqrt(400))
    assert null.null_sd == pytest.approx(math.sqrt(501 / (12 * 250 * 250) / 8), rel=0.25)
    leak = null_test(lambda drawn: calibrated_auc(noise + 0.5 * coins, drawn), coins, rng, redraws=99)
    assert leak.p_value == 0.01
    assert leak.observed > null.null_mean + 5 * null.null_sd


def test_null_test_follows_its_generator_and_refuses_nan() -> None:
    coins = np.random.default_rng(3).random(50) < 0.5
    metric = float(coins.mean())
    first, second = (
        null_test(lambda drawn: abs(drawn.mean() - metric), coins, np.random.default_rng(4), 50) for _ in range(2)
    )
    assert first == second
    assert first.p_value == 1.0
    with pytest.raises(ValueError, match="NaN"):
        null_test(lambda drawn: math.nan, coins, np.random.default_rng(0))
    with pytest.raises(ValueError, match="boolean"):
        null_test(lambda drawn: 0.0, coins.astype(int), np.random.default_rng(0))


def test_empty_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="both groups"):
        auc_chance(0, 5)
    with pytest.raises(ValueError, match="both groups"):
        tpr_chance(5, 0, 0.1)
