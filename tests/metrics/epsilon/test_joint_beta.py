"""The joint-beta credible interval: anchors, Monte Carlo, and why it may not be a verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedprivacy.metrics import CredibleEpsilon, EpsilonBound, joint_beta_interval


@pytest.mark.parametrize(
    ("counts", "low", "high", "places"),
    [
        ((487, 487, 512, 513), 0.14389, 6.41559, 1e-4),
        ((200, 500, 25, 500), 1.75756, 2.42278, 1e-4),
        ((90, 100, 5, 100), 2.2904, 3.6584, 1e-4),
        ((487, 487, 512, 513), 0.145, 6.399, 0.02),
        ((200, 500, 25, 500), 1.7570, 2.4220, 0.02),
    ],
)
def test_anchors(counts: tuple[int, int, int, int], low: float, high: float, places: float) -> None:
    found = joint_beta_interval(*counts, delta=1e-5)
    assert (found.low, found.high) == pytest.approx((low, high), abs=places)


@pytest.mark.parametrize("counts", [(30, 50, 10, 60), (5, 10, 5, 10), (40, 40, 0, 40)])
def test_equals_monte_carlo(counts: tuple[int, int, int, int]) -> None:
    tp, n1, fp, n0 = counts
    delta, draws = 1e-3, 400_000
    rng = np.random.default_rng(0)
    fpr = rng.beta(fp + 0.5, n0 - fp + 0.5, draws)
    fnr = rng.beta(n1 - tp + 0.5, tp + 0.5, draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [
            (1 - delta - fnr) / fpr,
            (1 - delta - fpr) / fnr,
            (fnr - delta) / (1 - fpr),
            (fpr - delta) / (1 - fnr),
        ]
    smallest = np.log(np.maximum(1.0, np.max(ratios, axis=0)))
    low, high = np.quantile(smallest, [0.05, 0.95])
    found = joint_beta_interval(*counts, delta=delta)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)


def test_it_is_above_zero_on_noise_and_is_no_bound() -> None:
    rng = np.random.default_rng(1)
    lows = []
    for _ in range(50):
        found = joint_beta_interval(int(rng.binomial(500, 0.3)), 500, int(rng.binomial(500, 0.3)), 500, delta=1e-5)
        lows.append(found.low)
    assert min(lows) > 0
    assert isinstance(found, CredibleEpsilon)
    assert not isinstance(found, EpsilonBound)
    assert "credible" in found.method


def test_extreme_counts_are_finite_and_bad_ones_refused() -> None:
    found = joint_beta_interval(20_000, 20_000, 0, 20_000, delta=0.0)
    assert 0 < found.low < found.high < math.inf
    with pytest.raises(ValueError, match="impossible counts"):
        joint_beta_interval(5, 4, 0, 4, delta=0.0)
    with pytest.raises(TypeError, match="delta"):
        joint_beta_interval(1, 4, 0, 4)
