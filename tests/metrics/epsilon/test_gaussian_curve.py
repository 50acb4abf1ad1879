"""epsilon of mu-GDP and back: anchors, the defining equation, dp-accounting as the oracle."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from fedprivacy.metrics import gdp_epsilon, gdp_mu


@pytest.mark.parametrize(
    ("mu", "epsilon"), [(0.1, 0.3407), (0.25, 0.9263), (0.5, 1.9931), (1, 4.3772), (2, 9.9973), (3, 16.6755)]
)
def test_anchors(mu: float, epsilon: float) -> None:
    assert gdp_epsilon(mu, 1e-5) == pytest.approx(epsilon, abs=6e-5)


@pytest.mark.parametrize(("noise", "epsilon"), [(7.032, 0.5), (3.731, 1), (1.994, 2), (1.081, 4), (0.600, 8)])
def test_noise_multipliers_of_one_release(noise: float, epsilon: float) -> None:
    assert 1 / gdp_mu(epsilon, 1e-5) == pytest.approx(noise, abs=6e-4)


@given(st.floats(0.05, 6), st.floats(1e-10, 0.01))
def test_solves_the_defining_equation(mu: float, delta: float) -> None:
    epsilon = gdp_epsilon(mu, delta)
    spent = norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu))
    if epsilon > 0:
        assert spent == pytest.approx(delta, rel=1e-4)
    else:
        assert spent <= delta * (1 + 1e-9)


@given(st.floats(0.001, 40), st.floats(1e-10, 0.01))
def test_round_trip(epsilon: float, delta: float) -> None:
    assert gdp_epsilon(gdp_mu(epsilon, delta), delta) == pytest.approx(epsilon, rel=1e-6, abs=1e-8)


@settings(max_examples=50)
@given(st.floats(0.05, 8), st.floats(0.05, 8), st.floats(1e-10, 0.01))
def test_monotone(first: float, second: float, delta: float) -> None:
    low, high = sorted([first, second])
    assert gdp_epsilon(low, delta) <= gdp_epsilon(high, delta) + 1e-9
    assert gdp_epsilon(high, delta) <= gdp_epsilon(high, delta / 10) + 1e-9


def test_equals_dp_accounting() -> None:
    from dp_accounting.pld import privacy_loss_distribution

    for mu in (0.5, 1.0, 3.0):
        law = privacy_loss_distribution.from_gaussian_mechanism(1 / mu, value_discretization_interval=1e-4)
        assert gdp_epsilon(mu, 1e-5) == pytest.approx(law.get_epsilon_for_delta(1e-5), rel=1e-3)


def test_extremes_and_bad_input() -> None:
    assert gdp_epsilon(0.0, 1e-5) == gdp_epsilon(-2.0, 1e-5) == gdp_epsilon(1e-7, 1e-5) == 0.0
    assert 5000 < gdp_epsilon(100.0, 1e-5) < 6000
    for delta in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="delta"):
            gdp_epsilon(1.0, delta)
        with pytest.raises(ValueError, match="delta"):
            gdp_mu(1.0, delta)
    with pytest.raises(ValueError, match="epsilon"):
        gdp_mu(-1.0, 1e-5)
