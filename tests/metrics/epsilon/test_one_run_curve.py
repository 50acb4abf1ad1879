"""The one-run test of a whole curve: against the Gaussian one, its null, its power, and the pair that it implies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon, gdp_mu
from fedprivacy.metrics.epsilon.guesses import correct_guesses
from fedprivacy.metrics.epsilon.one_run import one_run_bound
from fedprivacy.metrics.epsilon.one_run_curve import largest_refuted, refutes
from fedprivacy.metrics.epsilon.trade_off import GaussianCurve, ProfileCurve, approximate, strongest_scores

GRID = np.linspace(0.0, 8.0, 400)


def profile(mu: float) -> ProfileCurve:
    """The Gaussian curve by its privacy profile, written out here."""
    deltas = norm.cdf(mu / 2 - GRID / mu) - np.exp(GRID) * norm.cdf(-mu / 2 - GRID / mu)
    return ProfileCurve(GRID, deltas)


def test_a_profile_is_a_tight_lower_curve() -> None:
    """Never above the curve behind it, and near it on a fine grid."""
    x = np.linspace(0.001, 0.999, 333)
    exact, by_profile = GaussianCurve(1.0).forced(x), profile(1.0).forced(x)
    assert (by_profile <= exact + 1e-12).all() and np.abs(by_profile - exact).max() < 1e-3


@given(st.floats(0.01, 6), st.floats(0, 0.5), st.floats(0, 1))
def test_what_is_forced_obeys_both_inequalities(epsilon: float, delta: float, x: float) -> None:
    y = float(approximate(epsilon, delta).forced(np.array([x]))[0])
    assert 0 <= y <= x
    assert x <= np.exp(epsilon) * y + delta + 1e-9 and 1 - y <= np.exp(epsilon) * (1 - x) + delta + 1e-9


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 400), st.floats(0.1, 0.9), st.floats(0.2, 3.0), st.data())
def test_a_weaker_curve_is_harder_to_refute(m: int, share: float, mu: float, data: st.DataObject) -> None:
    r = max(1, int(share * m))
    v = data.draw(st.integers(0, r))
    if refutes(m, r, v, GaussianCurve(mu), 0.05):
        assert refutes(m, r, v, GaussianCurve(mu / 2), 0.05)
        assert refutes(m, r, v, profile(mu / 2), 0.05)


def test_without_delta_it_is_the_binomial_test() -> None:
    """Of epsilon-DP alone, all canaries guessed, the most that guesses can be right is randomised response's."""
    m, epsilon = 300, 1.0
    q = np.exp(epsilon) / (1 + np.exp(epsilon))
    for v in range(200, 260, 4):
        exact = binom.sf(v - 1, m, q)
        if refutes(m, m, v, approximate(epsilon, 0.0), 0.05):
            assert exact <= 0.05
    assert refutes(m, m, 250, approximate(epsilon, 0.0), 0.05)


@pytest.mark.parametrize("mu", [0.5, 1.5])
def test_an_honest_mechanism_is_refuted_no_more_often_than_stated(mu: float) -> None:
    fired = 0
    for draw in range(200):
        rng = np.random.default_rng(draw)
        coins = rng.random(400) < 0.5
        scores = strongest_scores(GaussianCurve(mu), coins, rng)
        (v,) = correct_guesses(scores, coins, [160], rng)
        fired += refutes(400, 160, v, GaussianCurve(mu), 0.05)
    assert fired <= binom.ppf(0.999, 200, 0.05)


def test_strongest_scores_have_the_curve_as_their_roc() -> None:
    rng = np.random.default_rng(0)
    coins = np.arange(40000) % 2 == 0
    scores = strongest_scores(GaussianCurve(1.2), coins, rng)
    for alpha in (0.05, 0.2, 0.5):
        threshold = np.quantile(scores[~coins], 1 - alpha)
        found = (scores[coins] > threshold).mean()
        assert found == pytest.approx(norm.cdf(norm.ppf(alpha) + 1.2), abs=0.015)


def test_a_curve_says_more_than_the_pair_that_it_implies() -> None:
    """On the same guesses, at epsilon 4 and 1,500 coins; and no more than the truth."""
    mu, delta = gdp_mu(4.0, 1e-5), 1e-5
    family = [(float(e), GaussianCurve(gdp_mu(float(e), delta))) for e in np.geomspace(0.05, 8, 60)]
    rng = np.random.default_rng(1)
    coins = rng.random(1500) < 0.5
    (v,) = correct_guesses(strongest_scores(GaussianCurve(mu), coins, rng), coins, [600], rng)
    by_curve, by_pair = largest_refuted(1500, 600, v, family, 0.05), one_run_bound(1500, 600, v, delta, 0.05)
    assert by_pair + 0.5 < by_curve < 4.0 and by_pair > 1.0


def test_a_planted_leak_reaches_the_end_of_the_family() -> None:
    family = [(float(e), GaussianCurve(gdp_mu(float(e), 1e-5))) for e in np.geomspace(0.05, 8, 40)]
    assert largest_refuted(1000, 900, 900, family, 0.05) > 6
    assert largest_refuted(1000, 900, 450, family, 0.05) == 0.0
    assert gdp_epsilon(gdp_mu(8.0, 1e-5), 1e-5) == pytest.approx(8.0)
