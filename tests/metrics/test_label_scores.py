"""Label histogram distances against scipy, and their chance rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from fedprivacy.metrics import chance_labels, compare_labels

histograms = arrays(np.int64, st.just(5), elements=st.integers(0, 50)).filter(lambda h: h.sum() > 0)


@given(histograms, histograms)
def test_distances(truth: np.ndarray, estimate: np.ndarray) -> None:
    found = compare_labels(truth, estimate)
    p, q = truth / truth.sum(), estimate / estimate.sum()
    assert found.tv == pytest.approx(np.abs(p - q).sum() / 2)
    assert found.l1 == pytest.approx(2 * found.tv)
    assert found.chebyshev == pytest.approx(np.abs(p - q).max())
    assert found.chebyshev <= found.l1 + 1e-12
    assert found.kl == pytest.approx(entropy(p, np.maximum(q, 1e-6)), abs=1e-9)
    assert found.kl >= 2 * found.tv**2 - 1e-4
    assert 0 <= found.tv <= 1


@given(histograms)
def test_equal_histograms_are_at_distance_zero(truth: np.ndarray) -> None:
    found = compare_labels(truth, truth * 3)
    assert [found.tv, found.l1, found.chebyshev] == pytest.approx([0, 0, 0], abs=1e-12)
    assert 0 <= found.kl < 1e-5
    assert found.top_hit == 1 or (truth == truth.max()).sum() > 1


@given(histograms, histograms, st.permutations(range(5)))
def test_the_names_of_the_classes_do_not_matter(truth: np.ndarray, estimate: np.ndarray, order: list[int]) -> None:
    first, second = compare_labels(truth, estimate), compare_labels(truth[order], estimate[order])
    for name in ("tv", "l1", "chebyshev", "kl", "top_hit"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), abs=1e-12)


def test_top_hit_shares_ties() -> None:
    assert compare_labels([5, 1, 0], [2, 1, 0]).top_hit == 1
    assert compare_labels([5, 1, 0], [1, 2, 0]).top_hit == 0
    assert compare_labels([5, 1, 0, 0], [1, 1, 1, 1]).top_hit == 0.25
    assert compare_labels([5, 5, 0, 0], [1, 1, 1, 1]).top_hit == 0.5


def test_chance_rows() -> None:
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(np.full(10, 0.5), size=40)
    prior = np.arange(1, 11)
    rows = chance_labels(truth, prior, 0.5, rng, draws=400)
    assert sorted(rows) == ["dirichlet", "prior", "uniform"]
    np.testing.assert_allclose(rows["uniform"].tv, np.abs(truth - 0.1).sum(1) / 2)
    np.testing.assert_allclose(rows["uniform"].top_hit, 0.1)
    np.testing.assert_allclose(rows["prior"].tv, np.abs(truth - prior / 55).sum(1) / 2)
    assert all(row.tv.shape == (40,) for row in rows.values())
    assert rows["dirichlet"].top_hit.mean() == pytest.approx(0.1, abs=0.01)
    assert rows["dirichlet"].tv.mean() > rows["uniform"].tv.mean()
    leak = compare_labels(truth, truth + 0.001)
    assert leak.tv.max() < min(row.tv.min() for row in rows.values())


@pytest.mark.parametrize(("alpha", "expected"), [(0.1, 0.680), (0.5, 0.454), (5.0, 0.158)])
def test_the_uniform_guess_against_skewed_clients(alpha: float, expected: float) -> None:
    """Twelve clients drawn once scored .680, .454 and .158: a draw from the distribution simulated here."""
    truth = np.random.default_rng(1).dirichlet(np.full(10, alpha), size=(200, 12))
    means = compare_labels(truth, np.ones(10)).tv.mean(axis=1)
    low, high = np.quantile(means, [0.001, 0.999])
    assert low - 0.02 <= expected <= high + 0.02


def test_a_tiny_concentration_stays_finite() -> None:
    rows = chance_labels(np.eye(3), np.ones(3), 1e-3, np.random.default_rng(2), draws=200)
    assert np.isfinite(rows["dirichlet"].kl).all()
    assert rows["dirichlet"].tv.mean() == pytest.approx(2 / 3, abs=0.06)


@pytest.mark.parametrize("bad", [[-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], []])
def test_impossible_histograms_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="truth"):
        compare_labels(bad, [1.0, 1.0])


def test_bad_chance_arguments_are_refused() -> None:
    for truth, alpha, draws in ((np.ones(3), 1.0, 10), (np.ones((2, 3)), 0.0, 10), (np.ones((2, 3)), 1.0, 0)):
        with pytest.raises(ValueError, match="need truth"):
            chance_labels(truth, np.ones(3), alpha, np.random.default_rng(0), draws=draws)
