"""Pooling by rank: no client's scale can move the pooled result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom, norm, rankdata

from fedprivacy.adversary.threat import Float
from fedprivacy.metrics import (
    auc,
    auc_chance,
    auc_interval,
    pool,
    pool_by_rank,
    ranks_within,
    tpr_at_fpr,
    tpr_interval,
)


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 3)), min_size=1, max_size=50))
def test_ranks_within_equals_scipy_group_by_group(rows: list[tuple[int, int]]) -> None:
    scores, groups = (np.array(column) for column in zip(*rows, strict=True))
    found = ranks_within(scores, groups)
    for group in set(groups.tolist()):
        chosen = groups == group
        np.testing.assert_allclose(found[chosen], rankdata(scores[chosen]) / chosen.sum())
    assert found.min() > 0
    assert found.max() <= 1


def test_shifting_one_client_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    coins = [rng.random(n) < 0.5 for n in (60, 90, 40)]
    scores = [rng.normal(size=coin.size) + coin for coin in coins]
    shifted = [scores[0], scores[1] + 100, np.exp(scores[2])]
    first, second = pool_by_rank(scores, coins), pool_by_rank(shifted, coins)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    raw = np.concatenate(shifted)
    mask = np.concatenate(coins)
    assert auc(*first) > auc(raw[mask], raw[~mask]) + 0.05
    assert tpr_at_fpr(*first, 0.1).n1 == mask.sum()


@pytest.mark.parametrize("pooling", [pool, pool_by_rank])
def test_pooled_noise_is_at_chance(pooling: Callable[..., tuple[Float, Float]]) -> None:
    rng = np.random.default_rng(1)
    runs, inside = 300, 0
    for _ in range(runs):
        coins = [rng.random(n) < 0.5 for n in (40, 70, 25)]
        members, others = pooling([rng.normal(i, 1 + i, coin.size) for i, coin in enumerate(coins)], coins)
        band = auc_chance(members.size, others.size)
        inside += band.low <= auc(members, others) <= band.high
    assert inside >= binom.ppf(0.001, runs, 0.95)


@pytest.mark.parametrize("strengths", [(1.0,) * 5, (0.3, 0.6, 1.0, 2.0, 3.0), (4.0,) * 5])
def test_intervals_of_pooled_log_odds_cover_what_clients_of_unlike_strength_leak(strengths: tuple[float, ...]) -> None:
    """Log-odds of a Gaussian test at distance d are N(+-d^2 / 2, d^2); of several at one threshold, a mean of Phi."""
    rng, runs, n = np.random.default_rng(3), 200, 400
    d = np.array(strengths)
    area = norm.cdf((d[:, None] ** 2 + d**2) / 2 / np.sqrt(d[:, None] ** 2 + d**2)).mean()
    threshold = brentq(lambda t: norm.sf((t + d**2 / 2) / d).mean() - 0.01, -50, 50)
    rate = norm.sf((threshold - d**2 / 2) / d).mean()
    inside = np.zeros(2)
    for _ in range(runs):
        coins = [rng.random(n) < 0.5 for _ in strengths]
        odds = [s * (rng.normal(size=n) + s * (own - 0.5)) for s, own in zip(strengths, coins, strict=True)]
        members, others = pool(odds, coins)
        found = auc_interval(members, others), tpr_interval(members, others, 0.01)
        inside += [one.low <= truth <= one.high for one, truth in zip(found, (area, rate), strict=True)]
    assert (inside >= binom.ppf(0.001, runs, 0.95)).all()


@pytest.mark.parametrize("number, area, rate", [(400, 0.999, 0.97), (100, 0.996, 0.91)])
def test_perfect_attacks_are_pooled_by_rank_to_somewhat_less(number: int, area: float, rate: float) -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(100):
        coins = [rng.random(number) < 0.5 for _ in range(5)]
        scores = [coin + 0.5 * rng.random(number) for coin in coins]
        pooled = pool_by_rank(scores, coins)
        assert auc(*pool(scores, coins)) == 1.0
        found.append((auc(*pooled), tpr_at_fpr(*pooled, 0.01).tpr))
    mean = np.mean(found, axis=0)
    assert mean[0] == pytest.approx(area, abs=0.001) and mean[1] == pytest.approx(rate, abs=0.01)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="groups"):
        ranks_within([1.0, 2.0], [0])
    with pytest.raises(ValueError, match="one coin vector"):
        pool_by_rank([[1.0]], [])
    with pytest.raises(ValueError, match="one side"):
        pool_by_rank([[1.0, 2.0]], [np.array([True, True])])
    with pytest.raises(ValueError, match="shape"):
        pool_by_rank([[1.0, 2.0]], [np.array([True])])
    with pytest.raises(ValueError, match="NaN"):
        pool_by_rank([[1.0, np.nan]], [np.array([True, False])])
