"""A stratified order is a permutation whose stretches hold the classes in proportion."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedprivacy.data.strata import stratified_order


@given(st.lists(st.integers(0, 4), min_size=1, max_size=120), st.integers(0, 2**32))
def test_every_stretch_is_nearly_proportional(classes: list[int], seed: int) -> None:
    labels = np.array(classes, dtype=np.int64)
    order = stratified_order(labels, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(labels)))
    sizes = np.bincount(labels, minlength=5)
    share = sizes / len(labels)
    present = (sizes > 0).sum()
    running = np.cumsum(np.eye(5)[labels[order]], axis=0)
    ideal = np.arange(1, len(labels) + 1)[:, None] * share
    assert (np.abs(running - ideal) <= 1 + present * share + 1e-9).all()


def test_equal_classes_are_cut_exactly_at_whole_shares() -> None:
    labels = np.repeat(np.arange(10), 50)
    order = stratified_order(labels, np.random.default_rng(0))
    for start in range(0, 500, 100):
        assert np.bincount(labels[order[start : start + 100]]).tolist() == [10] * 10


def test_which_record_of_a_class_comes_first_is_uniform() -> None:
    labels = np.array([0] * 6 + [1] * 6)
    rng = np.random.default_rng(1)
    places = np.array([np.argsort(stratified_order(labels, rng)) for _ in range(3000)])
    for record in (0, 5, 9):
        assert stats.chisquare(np.bincount(places[:, record] * 6 // 12, minlength=6)).pvalue > 1e-4
