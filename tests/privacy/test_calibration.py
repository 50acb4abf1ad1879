"""Noise for a stated epsilon: reference values, and never less than what the accountant then confirms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedprivacy.privacy import (
    Gaussian,
    GaussianHistogramVote,
    Laplace,
    PoissonSampledGaussian,
    RandomizedResponse,
)
from fedprivacy.privacy.accountant import epsilon_of
from fedprivacy.privacy.calibration import (
    dp_sgd_multiplier,
    gaussian_multiplier,
    laplace_epsilon,
    response_epsilon0,
    vote_deviation,
)
from fedprivacy.privacy.closed_forms import kept_share
from fedprivacy.privacy.ledger import ledger

DELTA = 1e-5


@pytest.mark.parametrize(
    ("releases", "epsilon", "expected"),
    [
        (1, 0.5, 7.032),
        (1, 1, 3.731),
        (1, 2, 1.994),
        (1, 4, 1.081),
        (1, 8, 0.600),
        (12, 0.5, 24.36),
        (12, 1, 12.92),
        (12, 2, 6.907),
        (12, 4, 3.745),
        (12, 8, 2.079),
    ],
)
def test_gaussian_reference(releases: int, epsilon: float, expected: float) -> None:
    assert gaussian_multiplier(epsilon, DELTA, releases) == pytest.approx(expected, rel=6e-4)


def test_the_textbook_rule_is_not_used() -> None:
    """sqrt(2 ln(1.25/delta)) / epsilon is a theorem only below 1: asked for 16 it gives 18.9."""
    textbook = math.sqrt(2 * math.log(1.25 / DELTA)) / 16
    assert epsilon_of(ledger([Gaussian(textbook)]), DELTA).epsilon == pytest.approx(18.9, rel=1e-2)
    assert gaussian_multiplier(16, DELTA) > textbook


@pytest.mark.parametrize(("epsilon", "q", "steps", "expected"), [(3, 0.01, 1000, 0.8136), (8, 32 / 41, 20, 2.18)])
def test_dp_sgd_reference(epsilon: float, q: float, steps: int, expected: float) -> None:
    multiplier = dp_sgd_multiplier(epsilon, DELTA, q, steps)
    assert multiplier == pytest.approx(expected, rel=3e-3)
    again = epsilon_of(ledger([PoissonSampledGaussian(multiplier, q, steps)]), DELTA).epsilon
    assert again <= epsilon
    assert again == pytest.approx(epsilon, rel=1e-3)


def test_one_gaussian_release_an_epoch_is_cheaper_than_sampling_at_high_rates() -> None:
    for epsilon, expected in ((8, 1.90), (4, 3.42), (1, 11.8)):
        assert gaussian_multiplier(epsilon, DELTA, 10) == pytest.approx(expected, rel=3e-3)


def test_response_reference() -> None:
    small = response_epsilon0(8, DELTA, 2, 631)
    assert small == pytest.approx(0.067, rel=2e-2)
    assert kept_share(small, 2) == pytest.approx(0.517, abs=1e-3)
    assert kept_share(response_epsilon0(8, DELTA, 2, 53), 2) == pytest.approx(0.559, abs=1e-3)


def test_vote_reference() -> None:
    assert vote_deviation(8, DELTA, 631) == pytest.approx(21.3, rel=3e-3)


@given(epsilon=st.floats(0.05, 20), releases=st.integers(1, 100), exponent=st.floats(-9, -3))
@settings(max_examples=25, deadline=None)
def test_calibrated_noise_keeps_within_epsilon(epsilon: float, releases: int, exponent: float) -> None:
    delta = 10**exponent
    multiplier = gaussian_multiplier(epsilon, delta, releases)
    assert epsilon_of(ledger([Gaussian(multiplier)] * releases), delta).epsilon <= epsilon
    assert epsilon_of(ledger([Gaussian(multiplier * 0.999)] * releases), delta).epsilon > epsilon
    deviation = vote_deviation(epsilon, delta, releases)
    assert epsilon_of(ledger([GaussianHistogramVote(deviation, releases)]), delta).epsilon <= epsilon


@given(epsilon=st.floats(0.2, 10), releases=st.integers(1, 30))
@settings(max_examples=4, deadline=None)
def test_calibrated_pure_mechanisms_keep_within_epsilon(epsilon: float, releases: int) -> None:
    one = laplace_epsilon(epsilon, DELTA, releases)
    assert one >= epsilon / releases * (1 - 1e-4)
    assert epsilon_of(ledger([Laplace(one)] * releases), DELTA).epsilon <= epsilon
    label = response_epsilon0(epsilon, DELTA, 5, releases)
    assert epsilon_of(ledger([RandomizedResponse(label, 5, releases)]), DELTA).epsilon <= epsilon


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan])
def test_epsilon_must_be_positive_and_finite(epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon"):
        gaussian_multiplier(epsilon, DELTA)
