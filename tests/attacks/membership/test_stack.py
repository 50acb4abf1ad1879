"""Stacking: held against scikit-learn by hand, at chance without a leak, and better than its parts where both tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Signals
from fedprivacy.attacks.membership.stack import CUT, PENALTY, Columns, columns, learned, matrix, regression


def target(number: int, first: float, second: float, n: int = 400) -> tuple[Columns, Bool]:
    draw = seeds.numpy_generator(3, "stack", number, str(first))
    coins = draw.random(n) < 0.5
    made = {"a": draw.normal(size=n) + first * coins, "b": draw.normal(size=n) + second * coins}
    return {**made, "noise": draw.normal(size=n)}, coins


def area(found: np.ndarray, coins: Bool) -> float:
    return float(roc_auc_score(coins, found))


def test_two_independent_signals_are_better_than_either() -> None:
    stack = learned([target(number, 1.0, 1.0) for number in range(4)], ["a", "b", "noise"])
    columns, coins = target(9, 1.0, 1.0, 4000)
    both = area(stack.score(columns), coins)
    assert both > max(area(columns["a"], coins), area(columns["b"], coins)) + 0.05
    best = area(columns["a"] + columns["b"], coins)  # the likelihood ratio of two Gaussians of one variance
    assert both == pytest.approx(best, abs=0.005)


def test_without_a_leak_it_stays_at_chance() -> None:
    found = []
    for number in range(40):
        stack = learned([target(100 * number + k, 0.0, 0.0, 200) for k in range(3)], ["a", "b", "noise"])
        columns, coins = target(100 * number + 50, 0.0, 0.0, 200)
        found.append(area(stack.score(columns), coins))
    assert abs(np.mean(found) - 0.5) < 4 * 0.0408 / np.sqrt(40)  # sd of an AUC of 100 and 100


def test_a_sign_is_learned() -> None:
    stack = learned([target(number, -1.5, 0.0) for number in range(3)], ["a", "b"])
    columns, coins = target(8, -1.5, 0.0)
    assert area(stack.score(columns), coins) > 0.8 and area(columns["a"], coins) < 0.2


def test_what_one_federation_lacks_is_left_out_and_what_the_target_lacks_is_told() -> None:
    lessons = [target(number, 1.0, 1.0) for number in range(2)]
    lacking = {name: values for name, values in lessons[0][0].items() if name != "b"}
    stack = learned([(lacking, lessons[0][1]), lessons[1]], ["a", "b", "noise"])
    assert stack.signals == ("a", "noise")
    with pytest.raises(ValueError, match="learned with a"):
        stack.score({"noise": lessons[0][0]["noise"]})
    with pytest.raises(ValueError, match="no signal"):
        learned([({"c": lessons[0][0]["a"]}, lessons[0][1])], ["a"])
    with pytest.raises(ValueError, match="one side"):
        learned([(lessons[0][0], np.ones(400, dtype=bool))], ["a"])


def test_unseen_candidates_have_no_score_and_move_none() -> None:
    lessons = [target(number, 1.0, 1.0) for number in range(2)]
    stack = learned(lessons, ["a", "b"])
    columns, _ = target(5, 1.0, 1.0)
    hidden = {name: np.where(np.arange(400) < 7, np.nan, values) for name, values in columns.items()}
    found = stack.score(hidden)
    assert np.isnan(found[:7]).all() and not np.isnan(found[7:]).any()
    rest = {name: values[7:] for name, values in columns.items()}
    np.testing.assert_allclose(found[7:], stack.score(rest))


def test_the_regression_is_that_of_scikit_learn_even_where_columns_nearly_repeat() -> None:
    draw = np.random.default_rng(4)
    rows = draw.normal(size=(500, 6))
    rows[:, 3:] = rows[:, :3] + 1e-4 * draw.normal(size=(500, 3))
    coins = draw.random(500) < 1 / (1 + np.exp(-rows[:, 0] - 0.5))
    found = regression(rows, coins)
    model = LogisticRegression(C=1 / PENALTY, tol=1e-10, solver="newton-cholesky", max_iter=500).fit(rows, coins)
    np.testing.assert_allclose(found, [*model.coef_[0], model.intercept_[0]], atol=1e-4)


@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_scale_and_place_of_a_signal_do_not_matter(scale: float, place: float) -> None:
    columns, _ = target(1, 1.0, 0.0, 60)
    moved = {name: scale * values + place for name, values in columns.items()}
    np.testing.assert_allclose(matrix(columns, ["a", "b"]), matrix(moved, ["a", "b"]), atol=1e-8)
    assert np.abs(matrix({"a": np.r_[np.zeros(99), 1e9]}, ["a"])).max() <= CUT
    assert (matrix({"a": np.ones(5)}, ["a"]) == 0).all()


def test_columns_hold_every_round_and_every_statistic(drawn_signals: Callable[[int], Signals]) -> None:
    found = columns(drawn_signals(3), "mean")
    assert {"loss", "loss, observed round 3", "trajectory"} <= set(found)
    assert all(values.shape == (30,) for values in found.values())
