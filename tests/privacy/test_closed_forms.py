"""Formulas against brute-force integration, against dp-accounting, and against what a histogram of outputs shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from fedprivacy.privacy.closed_forms import (
    for_copies,
    gaussian_delta,
    gaussian_epsilon,
    kept_share,
    replace_one,
    subsampling,
)


@pytest.mark.parametrize(("epsilon", "mu"), [(0.0, 0.5), (0.7, 1.0), (2.0, 1.0), (3.0, 2.5)])
def test_gaussian_delta_is_the_hockey_stick_integral(epsilon: float, mu: float) -> None:
    def gap(x: float) -> float:
        return max(0.0, stats.norm.pdf(x, mu) - math.exp(epsilon) * stats.norm.pdf(x))

    crossing = epsilon / mu + mu / 2
    area, _ = integrate.quad(gap, crossing, crossing + 40)
    assert gaussian_delta(epsilon, mu) == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize(("multiplier", "releases", "expected"), [(20, 100, 1.9931), (4, 3, 1.6980)])
def test_gaussian_epsilon_of_the_reference_table(multiplier: float, releases: int, expected: float) -> None:
    assert gaussian_epsilon(math.sqrt(releases) / multiplier, 1e-5) == pytest.approx(expected, rel=5e-5)


@given(mu=st.floats(0.01, 30), exponent=st.floats(-12, -1))
@settings(max_examples=60, deadline=None)
def test_gaussian_epsilon_is_never_below_the_truth(mu: float, exponent: float) -> None:
    delta = 10**exponent
    epsilon = gaussian_epsilon(mu, delta)
    assert gaussian_delta(epsilon, mu) <= delta
    assert epsilon == pytest.approx(get_epsilon_gaussian(1 / mu, delta), rel=1e-6, abs=1e-9)


def test_no_noise_needed_for_no_sensitivity() -> None:
    assert gaussian_delta(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("classes", "epsilon0", "expected"),
    [(2, 0.5, 0.622), (2, 1, 0.731), (2, 2, 0.881), (2, 4, 0.982), (10, 0.5, 0.155), (10, 1, 0.232), (10, 4, 0.858)],
)
def test_kept_share(classes: int, epsilon0: float, expected: float) -> None:
    assert kept_share(epsilon0, classes) == pytest.approx(expected, abs=5e-4)


@given(epsilon0=st.floats(0.01, 8), classes=st.integers(2, 50))
def test_randomised_response_has_the_stated_likelihood_ratio(epsilon0: float, classes: int) -> None:
    kept = kept_share(epsilon0, classes)
    other = (1 - kept) / (classes - 1)
    assert math.log(kept / other) == pytest.approx(epsilon0, rel=1e-9)


def test_subsampling_of_the_nfdp_example() -> None:
    assert subsampling(300, 120, replacement=True) == pytest.approx((0.399, 0.330), abs=5e-4)
    assert subsampling(300, 120, replacement=False) == pytest.approx((0.509, 0.40), abs=5e-4)


@given(n=st.integers(1, 1000), data=st.data())
def test_subsampling_delta_is_the_chance_of_being_drawn(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    assert subsampling(n, k, replacement=False)[1] == k / n
    assert subsampling(n, k, replacement=True)[1] == pytest.approx(1 - (1 - 1 / n) ** k, abs=1e-12)


def test_groups_and_relations() -> None:
    assert for_copies(1.0, 1e-6, 1) == pytest.approx((1.0, 1e-6))
    assert for_copies(1.0, 1e-6, 3) == pytest.approx((3.0, 1e-6 * (math.exp(3) - 1) / (math.e - 1)))
    assert for_copies(0.0, 1e-6, 4) == pytest.approx((0.0, 4e-6))
    assert replace_one(1.0, 1e-6) == pytest.approx((2.0, 1e-6 * (1 + math.e)))
    assert for_copies(400.0, 1e-6, 3) == (1200.0, 1.0)


def test_group_bound_holds_for_gaussian_noise() -> None:
    delta = 1e-6
    epsilon = gaussian_epsilon(0.5, delta)
    for copies in (2, 3, 5):
        wide, loose = for_copies(epsilon, delta, copies)
        assert gaussian_delta(wide, 0.5 * copies) <= loose


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5])
def test_delta_must_be_a_probability(delta: float) -> None:
    with pytest.raises(ValueError, match="delta"):
        gaussian_epsilon(1.0, delta)


def test_gaussian_delta_against_samples() -> None:
    """The event that decides best between the two neighbours, counted on a million draws."""
    mu, epsilon = 1.5, 1.0
    threshold = epsilon / mu + mu / 2
    draws = np.random.default_rng(0).normal(size=1_000_000)
    measured = (draws + mu > threshold).mean() - math.exp(epsilon) * (draws > threshold).mean()
    assert measured == pytest.approx(gaussian_delta(epsilon, mu), abs=3e-3)
