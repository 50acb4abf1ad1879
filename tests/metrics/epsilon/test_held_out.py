"""The bound from a region that held-out calls chose: sound on honest noise, strong on false claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon
from fedprivacy.metrics.epsilon.held_out import Pair, Region, chosen_region, epsilon_of_region, most_shown
from fedprivacy.metrics.epsilon.mean_shift import gaussian_estimate
from fedprivacy.metrics.epsilon.thresholds import epsilon_at_threshold

CALLS = 1000


def laplace(rng: np.random.Generator, shift: float) -> tuple[dict[str, Pair], dict[str, Pair]]:
    """Scores to choose on and scores to judge by: Laplace noise, and a statistic that knows nothing."""

    def drawn() -> dict[str, Pair]:
        return {
            "noise": Pair(rng.normal(size=CALLS), rng.normal(size=CALLS)),
            "projection": Pair(rng.laplace(size=CALLS), shift + rng.laplace(size=CALLS)),
        }

    return drawn(), drawn()


def bound(rng: np.random.Generator, shift: float, delta: float = 0.0):
    held_out, judged = laplace(rng, shift)
    region = chosen_region(held_out, delta=delta)
    return epsilon_of_region(region, judged[region.statistic], delta=delta)


def test_a_claim_that_is_exact_is_refuted_no_more_often_than_stated() -> None:
    """Laplace noise of scale 1 has epsilon 1 at distance 1, and half of all regions show just that."""
    rng = np.random.default_rng(0)
    refuted = sum(bound(rng, 1.0).low > 1.0 for _ in range(200))
    assert refuted <= binom.ppf(0.999, 200, 0.05)


def test_a_claim_of_two_thirds_of_the_truth_is_refuted() -> None:
    rng = np.random.default_rng(1)
    assert sum(bound(rng, 1.5).low > 1.0 for _ in range(20)) >= 16


@pytest.mark.parametrize("above", [True, False])
def test_both_sides_of_a_threshold_count_alike(above: bool) -> None:
    first, second = np.array([0.0] * 90 + [1.0] * 10), np.array([0.0] * 20 + [1.0] * 80)
    judged = Pair(first, second) if above else Pair(-second, -first)
    found = epsilon_of_region(Region("x", 0.5 if above else -0.5, above), judged, delta=1e-5)
    assert (found.detail["hits"], found.detail["alarms"]) == (80, 10)
    # The two-sided audit of the same counts takes the better of two directions; here it is the same one.
    assert found.low == pytest.approx(epsilon_at_threshold(80, 100, 10, 100, delta=1e-5).low)


def test_a_region_is_chosen_where_the_inputs_differ_and_leaves_ties_whole() -> None:
    """Scores of two values: every threshold between them is the same rule."""
    first, second = np.repeat([0.0, 1.0], [950, 50]), np.repeat([0.0, 1.0], [100, 900])
    region = chosen_region({"x": Pair(first, second)}, delta=0.0)
    assert 0 <= region.threshold <= 1
    assert region.holds(second).sum() in (900, 100)


def test_what_hides_nothing_reaches_the_ceiling() -> None:
    held_out = {"x": Pair(np.zeros(500), np.ones(500))}
    region = chosen_region(held_out, delta=1e-5)
    found = epsilon_of_region(region, held_out["x"], delta=1e-5)
    assert found.low == found.ceiling == most_shown(500, 500, delta=1e-5)
    assert found.ceiling == pytest.approx(math.log((0.025 ** (1 / 500) - 1e-5) / (1 - 0.025 ** (1 / 500))))


def test_the_gaussian_estimate_finds_gaussian_noise_and_refuses_other() -> None:
    rng = np.random.default_rng(2)
    found = gaussian_estimate(Pair(rng.normal(size=20000), 1 + rng.normal(size=20000)), delta=1e-5)
    assert found is not None and found.low < gdp_epsilon(1.0, 1e-5) < found.high
    assert found.high - found.low < 0.4
    assert gaussian_estimate(Pair(rng.laplace(size=20000), 1 + rng.laplace(size=20000)), delta=1e-5) is None
    assert gaussian_estimate(Pair(np.zeros(9), np.ones(9)), delta=1e-5) is None


def test_nan_and_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Pair(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(ValueError, match="no scores"):
        chosen_region({}, delta=0.0)
