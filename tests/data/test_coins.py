"""Coins are fair, independent, named, and never exact halves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fedprivacy.data.coins import coins, redraw
from fedprivacy.data.records import Division


def pools(clients: int = 5, size: int = 400, folds: int = 1) -> Division:
    ids = np.arange(clients * size).reshape(clients, size)
    empty = np.empty(0, dtype=np.int64)
    return Division(
        warmup=empty,
        candidates=tuple(tuple(np.array_split(row, folds)) for row in ids),
        validation=tuple((empty,) * folds for _ in ids),
        public=(),
        auxiliary=empty,
    )


@pytest.mark.parametrize("inclusion", [0.5, 0.1, 0.9])
def test_frequencies_are_binomial(inclusion: float) -> None:
    counts = np.array([[c.sum() for c in coins(pools(), inclusion, root)] for root in range(200)])
    assert stats.binomtest(int(counts.sum()), counts.size * 400, inclusion).pvalue > 1e-4
    z = (counts - 400 * inclusion) / np.sqrt(400 * inclusion * (1 - inclusion))
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4
    variance = (z.size - 1) * z.var(ddof=1)
    assert 1e-4 < stats.chi2.cdf(variance, z.size - 1) < 1 - 1e-4


def test_the_number_of_members_is_random_and_not_half() -> None:
    counts = [int(c.sum()) for root in range(40) for c in coins(pools(), 0.5, root)]
    assert len(set(counts)) > 20 and np.mean(np.array(counts) == 200) < 0.15


def test_coins_of_neighbours_clients_and_roots_are_uncorrelated() -> None:
    drawn = np.array([coins(pools(), 0.5, root) for root in range(100)]).astype(float) * 2 - 1
    for left, right in [
        (drawn[:, :, 1:], drawn[:, :, :-1]),
        (drawn[:, 1:], drawn[:, :-1]),
        (drawn[1:], drawn[:-1]),
    ]:
        products = (left * right).ravel()
        assert abs(products.mean()) < 4.5 / np.sqrt(products.size)


def test_inclusion_one_includes_everything() -> None:
    assert all(c.dtype == np.bool_ and c.all() for c in coins(pools(), 1.0, 3))


def test_a_client_s_coins_do_not_depend_on_the_others_or_on_the_folds() -> None:
    few, many = coins(pools(2), 0.5, 7), coins(pools(9, folds=4), 0.5, 7)
    assert np.array_equal(few[1], many[1]) and len(many) == 9 and many[0].shape == (400,)


def test_shadows_have_coins_of_their_own() -> None:
    truth = np.concatenate(coins(pools(), 0.5, 7))
    shadows = [np.concatenate(redraw(pools(), 0.5, 7, s)) for s in range(6)]
    assert np.array_equal(shadows[2], np.concatenate(redraw(pools(), 0.5, 7, 2)))
    for i, one in enumerate([truth, *shadows]):
        for other in [truth, *shadows][:i]:
            assert stats.binomtest(int((one == other).sum()), 2000, 0.5).pvalue > 1e-5


@pytest.mark.parametrize("inclusion", [0.0, -0.5, 1.5, float("nan")])
def test_inclusion_is_a_probability(inclusion: float) -> None:
    with pytest.raises(ValueError, match="inclusion"):
        coins(pools(), inclusion, 0)
