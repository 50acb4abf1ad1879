"""Partitions: disjoint, of the promised sizes, and as skewed as promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedprivacy.config.base import UsageError
from fedprivacy.data import partition

Ints = NDArray[np.int64]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def balanced(classes: int = 10, each: int = 400) -> Ints:
    return np.tile(np.arange(classes), each)


def disjoint(pools: tuple[Ints, ...], count: int) -> bool:
    together = np.concatenate(pools)
    return len(np.unique(together)) == len(together) and bool((together >= 0).all() and (together < count).all())


def table(pools: tuple[Ints, ...], labels: Ints) -> Ints:
    return np.array([np.bincount(labels[pool], minlength=labels.max() + 1) for pool in pools])


unequal = st.lists(st.integers(1, 60), min_size=2, max_size=6)


@settings(deadline=None)
@given(unequal, st.integers(1, 8), st.floats(1e-3, 1e3), st.integers(0, 99), st.booleans())
def test_dirichlet_is_disjoint_and_has_its_sizes(
    sizes: list[int], clients: int, alpha: float, seed: int, given_size: bool
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    size = len(labels) // clients if given_size else None
    minimum = min(2, len(labels) // clients)
    pools = partition.dirichlet(labels, clients, size, alpha, minimum, generator(seed))
    assert disjoint(pools, len(labels)) and len(pools) == clients
    if size is None:
        assert sum(map(len, pools)) == len(labels) and min(map(len, pools)) >= minimum
    else:
        assert {len(pool) for pool in pools} == {size}
    again = partition.dirichlet(labels, clients, size, alpha, minimum, generator(seed))
    assert all(np.array_equal(a, b) for a, b in zip(pools, again, strict=True))


@settings(deadline=None)
@given(unequal, st.integers(1, 8), st.integers(0, 99), st.booleans())
def test_iid_is_disjoint_and_has_its_sizes(sizes: list[int], clients: int, seed: int, given_size: bool) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    clients = min(clients, len(labels))
    size = len(labels) // clients if given_size else None
    pools = partition.iid(labels, clients, size, generator(seed))
    assert disjoint(pools, len(labels))
    if size is None:
        assert sum(map(len, pools)) == len(labels) and max(map(len, pools)) - min(map(len, pools)) <= 1
    else:
        assert {len(pool) for pool in pools} == {size}


def test_small_alpha_is_skewed_and_large_alpha_is_not() -> None:
    labels = balanced()
    largest = [
        (table(partition.dirichlet(labels, 20, 100, alpha, 2, generator(3)), labels).max(axis=1) / 100).mean()
        for alpha in (0.05, 0.5, 5.0, 500.0)
    ]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] > 0.7 and largest[-1] < 0.2


def test_proportions_have_the_dirichlet_s_mean_and_variance() -> None:
    rng, alpha = generator(1), np.array([0.5, 1.0, 2.5])
    draws = np.array([partition.proportions(alpha, rng) for _ in range(20000)])
    total = alpha.sum()
    mean = alpha / total
    assert np.allclose(draws.mean(axis=0), mean, atol=0.01)
    assert np.allclose(draws.var(axis=0), mean * (1 - mean) / (total + 1), atol=0.003)


@pytest.mark.parametrize("level", [1e-300, 1e-12, 1e-3, 1e12])
def test_proportions_of_extreme_concentrations_are_proportions(level: float) -> None:
    for seed in range(20):
        share = partition.proportions(np.full(7, level), generator(seed))
        assert np.isfinite(share).all() and share.min() >= 0 and abs(share.sum() - 1) < 1e-9


def test_the_class_prior_is_kept_on_average() -> None:
    labels = np.repeat(np.arange(3), [6000, 3000, 1000])
    pools = partition.dirichlet(labels, 40, 100, 1.0, 2, generator(5))
    assert np.allclose(table(pools, labels).sum(axis=0) / 4000, [0.6, 0.3, 0.1], atol=0.1)


def test_no_client_is_favoured_by_its_number() -> None:
    """When everything is handed out, the last to draw gets the leftovers: that must not always be the last client."""
    labels = balanced(4, 100)
    skew = np.array(
        [table(partition.dirichlet(labels, 4, 100, 0.1, 2, generator(s)), labels).max(axis=1) for s in range(150)]
    )
    assert np.ptp(skew.mean(axis=0)) < 7.0


def test_free_sizes_are_mended_when_clients_stay_poor() -> None:
    labels = balanced(10, 30)
    pools = partition.dirichlet(labels, 100, None, 0.01, 2, generator(0))
    assert min(map(len, pools)) == 2 and sum(map(len, pools)) == 300 and disjoint(pools, 300)


def test_a_thousand_clients() -> None:
    labels = balanced(10, 500)
    for pools in (
        partition.iid(labels, 1000, 5, generator()),
        partition.dirichlet(labels, 1000, 5, 0.5, 2, generator()),
        partition.dirichlet(labels, 1000, None, 0.5, 2, generator()),
        partition.shards(labels, 1000, 4, 2, generator()),
        partition.shards(labels, 1000, None, 2, generator()),
    ):
        assert len(pools) == 1000 and disjoint(pools, 5000) and sum(map(len, pools)) in (4000, 5000)


@settings(deadline=None)
@given(st.integers(2, 8), st.integers(1, 12), st.data())
def test_shards_hold_exactly_their_classes(classes: int, clients: int, data: st.DataObject) -> None:
    each = data.draw(st.integers(1, classes))
    labels = balanced(classes, 60)
    size = data.draw(st.one_of(st.none(), st.integers(each, max(each, 60 // clients))))
    pools = partition.shards(labels, clients, size, each, generator(data.draw(st.integers(0, 99))))
    held = table(pools, labels)
    assert disjoint(pools, len(labels)) and ((held > 0).sum(axis=1) == each).all()
    if size is not None:
        assert (held.sum(axis=1) == size).all()
        assert all(np.ptp(row[row > 0]) <= 1 for row in held)
    elif clients * each >= classes:
        assert held.sum() == len(labels)


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(1, 12), st.data())
def test_tasks_are_label_sets_that_do_not_overlap(classes: int, clients: int, data: st.DataObject) -> None:
    each = data.draw(st.integers(1, classes))
    labels = balanced(classes, 60)
    size = data.draw(st.one_of(st.none(), st.integers(each, max(each, 60 // clients))))
    pools = partition.tasks(labels, clients, size, each, generator(data.draw(st.integers(0, 99))))
    held = table(pools, labels)
    sets = [frozenset(np.flatnonzero(row).tolist()) for row in held]
    assert disjoint(pools, len(labels)) and all(a == b or not a & b for a in sets for b in sets)
    assert min(map(len, sets)) >= 1 and max(map(len, sets)) <= each and np.ptp([len(one) for one in sets]) <= 1
    wanted = -(-classes // each)
    assert len(set(sets)) == min(clients, wanted)
    if size is not None:
        assert (held.sum(axis=1) == size).all()
    elif clients >= wanted:
        assert held.sum() == len(labels)


def test_tasks_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="classes_per_client is 3"):
        partition.tasks(balanced(2, 50), 2, 20, 3, generator())
    with pytest.raises(UsageError, match="partition 'tasks': a class of 10 records is shared by 2 clients"):
        partition.tasks(np.repeat([0, 1], [90, 10]), 2, 40, 2, generator())


def test_shards_share_a_large_class_among_more_clients() -> None:
    labels = np.repeat(np.arange(3), [800, 100, 100])
    held = table(partition.shards(labels, 10, None, 1, generator()), labels)
    assert (held > 0).sum(axis=0).tolist() == [8, 1, 1] and (held.sum(axis=1) == 100).all()


def test_which_classes_a_client_gets_depends_on_the_seed() -> None:
    labels = balanced(10, 50)
    first = {
        tuple(np.flatnonzero(table(partition.shards(labels, 5, 40, 2, generator(s)), labels)[0])) for s in range(30)
    }
    assert len(first) > 10


@pytest.mark.parametrize(
    ("sizes", "clients", "size", "each", "words"),
    [
        ([50, 50], 2, 20, 3, ["classes_per_client is 3", "2 classes"]),
        ([50, 50], 2, 1, 2, ["1 records a client cannot cover 2 classes"]),
        ([90, 10], 2, 40, 2, ["class of 10 records is shared by 2 clients", "need 40"]),
        ([97, 3], 4, None, 2, ["class of 3 records is shared by 4 clients"]),
    ],
)
def test_shards_that_cannot_be(sizes: list[int], clients: int, size: int | None, each: int, words: list[str]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    with pytest.raises(UsageError) as caught:
        partition.shards(labels, clients, size, each, generator())
    assert all(word in str(caught.value) for word in words), caught.value


def test_too_few_records_is_a_programming_error() -> None:
    for size in (6, None):
        with pytest.raises(ValueError, match="records"):
            partition.dirichlet(balanced(2, 5), 2 if size else 11, size, 1.0, 1, generator())


def test_the_remainder_of_a_shard_goes_where_records_are_to_spare() -> None:
    labels = np.repeat(np.arange(2), [40, 60])
    held = table(partition.shards(labels, 20, 3, 2, generator()), labels)
    assert held.sum(axis=0).tolist() == [20, 40]
    labels = balanced(10, 500)
    pools = partition.shards(labels, 485, 10, 4, generator())
    assert disjoint(pools, 5000) and {len(pool) for pool in pools} == {10}
