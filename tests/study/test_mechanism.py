"""Audits of functions that add noise: each kind of fault has a statistic that sees it, and honest noise has none."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.metrics.epsilon.gaussian import gdp_mu
from fedprivacy.study.mechanism.audit import Stated, audit_mechanism
from fedprivacy.study.mechanism.pairs import worst_pairs

SIZE, DELTA = 8, 1e-5
EVEN = (np.zeros(SIZE), np.full(SIZE, 1 / math.sqrt(SIZE)))
"""Two vectors at distance 1."""


def audited(noise, epsilon: float = 1.0, pair=EVEN, calls: int = 3000, claim_delta: float = DELTA):
    """The audit of ``x + noise(rng, x)``, whose claim is ``epsilon``."""
    rng = np.random.default_rng(3)
    stated = Stated("noised", epsilon, claim_delta, "neighbouring")
    return audit_mechanism(lambda x: x + noise(rng, x), stated, {"both": pair}, calls=calls)


def enough(rng: np.random.Generator, x):
    """Gaussian noise of exactly the claim of 1."""
    return rng.normal(size=x.shape) / gdp_mu(1.0, DELTA)


def one_without(rng: np.random.Generator, x):
    return np.where(np.arange(SIZE) == 3, 0.0, enough(rng, x))


def falling(rng: np.random.Generator, x):
    """A hundredfold less on the last coordinates."""
    return enough(rng, x) * np.where(np.arange(SIZE) < SIZE // 2, 1.0, 0.01)


def shared(rng: np.random.Generator, x):
    """One draw for all coordinates: differences between them are bare."""
    return np.full(SIZE, enough(rng, x)[0])


def coarse(rng: np.random.Generator, x):
    """Nine values, the farthest of them 1.5 deviations away; the inputs differ by less than their distance."""
    deviation = 1 / gdp_mu(1.0, DELTA)
    return np.clip(np.round(enough(rng, x) / deviation * 3), -4, 4) / 3 * deviation


def by_input(rng: np.random.Generator, x):
    """As much noise as the input is large."""
    return rng.normal(size=x.shape) * (0.5 + 10 * np.abs(x))


UNEVEN = (np.zeros(SIZE), np.eye(SIZE)[3])


@pytest.mark.parametrize(
    ("noise", "pair"),
    [(one_without, EVEN), (falling, EVEN), (shared, UNEVEN), (coarse, EVEN), (by_input, EVEN)],
)
def test_a_fault_is_refuted(noise, pair) -> None:
    assert audited(noise, pair=pair).refuted


@pytest.mark.parametrize("pair", [EVEN, UNEVEN])
def test_honest_noise_is_not(pair) -> None:
    found = audited(enough, pair=pair)
    assert not found.refuted
    assert found.estimate is not None and found.estimate[1] < 1.0 < found.estimate[2]
    assert found.judged == 1500


def test_the_same_answer_in_every_call_hides_nothing() -> None:
    found = audited(lambda _rng, x: np.ones_like(x))
    assert found.low == found.ceiling
    assert found.estimate is None


def test_answers_without_any_noise_hide_nothing() -> None:
    found = audited(lambda _rng, x: np.zeros_like(x))
    assert found.refuted and found.low == found.ceiling


def test_inputs_and_answers_are_arrays_of_any_form_and_no_call_changes_an_input() -> None:
    rng = np.random.default_rng(4)
    pair = ([np.zeros((2, 3)), np.zeros(1)], [np.ones((2, 3)), np.zeros(1)])

    def changes(arrays):
        for array in arrays:
            array += rng.laplace(size=array.shape) * 6
        return {"weights": arrays[0], "bias": arrays[1]}

    found = audit_mechanism(changes, Stated("changes", 1.0, 0.0, "any"), {"both": pair}, calls=2000)
    assert found.verdict.verdict in ("not refuted", "inconclusive")
    assert found.estimate is None and found.reachable is None
    assert all((array == 0).all() for array in pair[0])


def test_of_several_pairs_the_one_that_tells_most_is_judged() -> None:
    """An L1 budget under Laplace noise is worst on one coordinate."""
    rng = np.random.default_rng(5)
    pairs = worst_pairs(1.0, (20,), "l1")
    found = audit_mechanism(
        lambda x: x + rng.laplace(size=x.shape) / 2, Stated("laplace", 1.0, 0.0, "any"), pairs, calls=9000
    )
    assert found.inputs.startswith("one coordinate")
    assert found.refuted and found.low < 2
    assert found.judged < 9000 / 2


@pytest.mark.parametrize(("norm", "order"), [("l1", 1), ("l2", 2), ("linf", np.inf)])
def test_pairs_are_as_far_apart_as_stated(norm, order) -> None:
    for first, second in worst_pairs(3.0, (2, 5), norm).values():
        assert first.shape == second.shape == (2, 5)
        assert np.linalg.norm((second - first).ravel(), order) == pytest.approx(3.0)


def broken(answers):
    """A mechanism that gives these answers one after the other."""
    left = iter(answers)
    return lambda _x: next(left)


@pytest.mark.parametrize(
    ("mechanism", "words"),
    [
        (lambda _: 1 / 0, "call 1 failed: ZeroDivisionError"),
        (lambda _: sys.exit(1), "call 1 failed: SystemExit: 1"),
        (lambda _: None, "an array of numbers is wanted, not None"),
        (lambda _: "text", "an array of numbers is wanted"),
        (lambda _: np.nan, "not finite"),
        (lambda _: [], "holds none"),
        (broken([np.zeros(2), np.zeros(3)]), "3 numbers, where an earlier one had 2"),
    ],
)
def test_what_is_no_mechanism_is_one_line(mechanism, words) -> None:
    with pytest.raises(UsageError, match=words):
        audit_mechanism(mechanism, Stated("m", 1.0, DELTA, "any"), {"both": EVEN}, calls=400)
