"""Every bound twice: silent on pure noise as often as stated, and strong where a leak is planted.

The setting: m = 1000 canaries with fair coins, score N(mu b, 1), delta 1e-5, level 95%. The truth is a Gaussian
mechanism with epsilon 4.377 (mu = 1) and 16.675 (mu = 3).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.stats import binom

from fedprivacy.metrics import (
    EpsilonBound,
    epsilon_all_thresholds,
    epsilon_at_threshold,
    epsilon_from_auc,
    epsilon_split,
    gdp_epsilon,
    one_run_from_scores,
    one_run_split,
)

DELTA = 1e-5
Audit = Callable[[np.ndarray, np.ndarray, np.random.Generator], EpsilonBound]


def on_groups(audit: Callable[..., EpsilonBound], curve: str) -> Audit:
    return lambda s, b, rng: audit(s[b], s[~b], delta=DELTA, curve=curve)


def on_halves(curve: str) -> Audit:
    return lambda s, b, rng: epsilon_split(s[b], s[~b], delta=DELTA, rng=rng, curve=curve)


def at_one(curve: str) -> Audit:
    def audit(s: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> EpsilonBound:
        counts = int((s[b] > 1).sum()), int(b.sum()), int((s[~b] > 1).sum()), int((~b).sum())
        return epsilon_at_threshold(*counts, delta=DELTA, curve=curve)

    return audit


def one_run(audit: Callable[..., EpsilonBound], **how: object) -> Audit:
    return lambda s, b, rng: partial(audit, **how)(s, b, delta=DELTA, rng=rng)


# name: audit, least mean bound at mu = 1, least mean bound at mu = 3
AUDITS: dict[str, tuple[Audit, float, float]] = {
    "one run, r=100": (one_run(one_run_from_scores, guesses=100), 1.55, 3.42),
    "one run, grid": (one_run(one_run_from_scores), 1.42, 4.10),
    "one run, split": (one_run(one_run_split), 1.20, 3.95),
    "one run Gaussian, r=100": (one_run(one_run_from_scores, guesses=100, curve="gaussian"), 2.40, 5.45),
    "one run Gaussian, grid": (one_run(one_run_from_scores, curve="gaussian"), 2.05, 6.75),
    "one run Gaussian, split": (one_run(one_run_split, curve="gaussian"), 2.00, 7.60),
    "Clopper-Pearson, fixed": (at_one("dp"), 0.85, 2.2),
    "Clopper-Pearson, all thresholds": (on_groups(epsilon_all_thresholds, "dp"), 0.85, 3.40),
    "Clopper-Pearson, split": (on_halves("dp"), 0.70, 3.15),
    "Gaussian DP, fixed": (at_one("gaussian"), 2.7, 13.5),
    "Gaussian DP, all thresholds": (on_groups(epsilon_all_thresholds, "gaussian"), 2.50, 13.2),
    "Gaussian DP, split": (on_halves("gaussian"), 2.25, 12.6),
    "AUC, DP": (on_groups(epsilon_from_auc, "dp"), 0.85, 3.2),
    "AUC, Gaussian DP": (on_groups(epsilon_from_auc, "gaussian"), 3.15, 13.3),
}


def draw(mu: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    coins = rng.random(1000) < 0.5
    return rng.normal(size=1000) + mu * coins, coins


@pytest.mark.parametrize("name", AUDITS)
def test_silent_on_noise(name: str) -> None:
    rng = np.random.default_rng(1)
    runs = 400
    fired = sum(AUDITS[name][0](*draw(0.0, rng), rng).low > 0 for _ in range(runs))
    assert fired <= binom.ppf(0.999, runs, 0.05)


@pytest.mark.parametrize("name", AUDITS)
def test_strong_on_a_planted_leak_and_below_the_truth(name: str) -> None:
    audit, *least = AUDITS[name]
    rng = np.random.default_rng(2)
    runs = 40
    for mu, expected in zip((1.0, 3.0), least, strict=True):
        bounds = [audit(*draw(mu, rng), rng) for _ in range(runs)]
        lows = np.array([bound.low for bound in bounds])
        assert lows.mean() > expected
        assert (lows > gdp_epsilon(mu, DELTA)).sum() <= binom.ppf(0.999, runs, 0.05)
        assert all(bound.low <= bound.ceiling + 1e-9 for bound in bounds)


def test_coverage_of_randomised_response() -> None:
    """Randomised response is the worst case of the one-run theorem: right guesses are exactly binomial."""
    rng = np.random.default_rng(3)
    runs, keep = 600, 1 / (1 + np.exp(-2.0))
    lows = []
    for _ in range(runs):
        coins = rng.random(1000) < 0.5
        answer = np.where(rng.random(1000) < keep, coins, ~coins)
        lows.append(one_run_from_scores(answer * 1.0, coins, delta=0.0, rng=rng, guesses=200).low)
    above = sum(low > 2 for low in lows)
    assert binom.ppf(0.001, runs, 0.02) <= above <= binom.ppf(0.999, runs, 0.05)
    assert np.mean(lows) > 1.5


def test_choosing_without_paying_would_fire_far_too_often() -> None:
    """The reason for the corrections: the best of six guess counts at the plain level is no bound."""
    rng = np.random.default_rng(4)
    runs, fired = 400, 0
    for _ in range(runs):
        scores, coins = draw(0.0, rng)
        fired += any(
            one_run_from_scores(scores, coins, delta=DELTA, rng=rng, guesses=r).low > 0
            for r in (10, 20, 50, 100, 200, 500)
        )
    assert fired > binom.ppf(0.999, runs, 0.05)
