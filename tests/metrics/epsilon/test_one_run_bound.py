"""The one-run bounds: anchors, the double loop as the oracle, ceilings, monotonicity, speed."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import binom

from fedprivacy.metrics import one_run_epsilon, one_run_gaussian_epsilon, one_run_p_value
from fedprivacy.metrics.epsilon.one_run import one_run_bound
from fedprivacy.metrics.epsilon.one_run_gaussian import one_run_mu, refutes

ANCHORS = [
    (100, 100, 90, 1e-5, 1.63036),
    (100, 100, 90, 0.0, 1.63082),
    (1000, 1000, 800, 1e-5, 1.25398),
    (1000, 1000, 800, 0.0, 1.25433),
    (5000, 5000, 4000, 1e-5, 1.32738),
    (5000, 5000, 4000, 0.0, 1.32774),
    (10, 10, 10, 1e-5, 1.05151),
    (10, 10, 10, 0.0, 1.05187),
    (1000, 100, 95, 1e-5, 2.16518),
    (1000, 100, 95, 0.0, 2.17243),
    (1000, 50, 50, 1e-5, 2.75622),
    (1000, 1000, 500, 1e-5, 0.0),
    (200, 200, 200, 0.0, 4.19363),
    (100, 100, 75, 1e-5, 0.702),
    (1000, 1000, 600, 1e-5, 0.297),
    (1000, 200, 150, 1e-5, 0.820),
    (1000, 200, 180, 1e-5, 1.796),
    (200, 200, 110, 1e-5, 0.0),
    (1000, 100, 100, 1e-5, 3.465),
    (1000, 100, 100, 0.0, 3.493),
]


@pytest.mark.parametrize(("m", "r", "v", "delta", "epsilon"), ANCHORS)
def test_anchors(m: int, r: int, v: int, delta: float, epsilon: float) -> None:
    places = 6e-6 if round(epsilon, 3) != epsilon else 6e-4
    assert one_run_epsilon(m, r, v, delta=delta).low == pytest.approx(epsilon, abs=places)


@pytest.mark.parametrize(
    ("m", "r", "delta", "ceiling"),
    [
        (100, 100, 1e-5, 3.49),
        (1000, 1000, 1e-5, 5.78),
        (1000, 100, 1e-5, 3.47),
        (10_000, 5000, 1e-5, 7.14),
        (1000, 1000, 1e-3, 3.49),
        (50, 50, 1e-5, 2.78),
        (5000, 5000, 1e-5, 7.28),
    ],
)
def test_ceilings(m: int, r: int, delta: float, ceiling: float) -> None:
    assert one_run_epsilon(m, r, r // 2, delta=delta).ceiling == pytest.approx(ceiling, abs=6e-3)


def test_all_right_without_delta_is_a_closed_form() -> None:
    for r in (1, 5, 10, 64, 200):
        assert one_run_bound(r, r, r, 0.0, 0.05) == pytest.approx(max(0.0, logit(0.05 ** (1 / r))), abs=1e-7)


def double_loop(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    q = 1 / (1 + math.exp(-epsilon))
    worst = 0.0
    for i in range(1, v + 1):
        worst = max(worst, sum(binom.pmf(v - j, r, q) for j in range(1, i + 1)) / i)
    return min(1.0, float(binom.sf(v - 1, r, q)) + 2 * m * delta * worst)


triples = st.integers(1, 40).flatmap(lambda r: st.tuples(st.integers(r, r + 60), st.just(r), st.integers(0, r)))


@settings(max_examples=60, deadline=None)
@given(triples, st.floats(0, 6), st.sampled_from([0.0, 1e-5, 1e-3, 0.1]))
def test_p_value_equals_the_double_loop(triple: tuple[int, int, int], epsilon: float, delta: float) -> None:
    expected = double_loop(*triple, epsilon, delta)
    assert one_run_p_value(*triple, epsilon, delta=delta) == pytest.approx(expected, abs=1e-11)


@given(triples, st.sampled_from([0.0, 1e-5, 1e-3]), st.sampled_from([0.05, 0.01]))
def test_bound_is_where_the_p_value_crosses(triple: tuple[int, int, int], delta: float, error: float) -> None:
    low = one_run_bound(*triple, delta, error)
    assert one_run_p_value(*triple, low + 1e-6, delta=delta) > error
    if low > 0:
        below = [one_run_p_value(*triple, low * part, delta=delta) for part in (0.0, 0.3, 0.6, 0.9)]
        assert max(below) <= error
    assert low <= one_run_bound(triple[0], triple[1], triple[1], delta, error)


@given(triples, st.sampled_from([1e-5, 1e-3]))
def test_monotone_in_right_guesses_in_delta_and_in_level(triple: tuple[int, int, int], delta: float) -> None:
    m, r, v = triple
    low = one_run_bound(m, r, v, delta, 0.05)
    assert one_run_bound(m, r, max(0, v - 1), delta, 0.05) <= low + 1e-9
    assert low <= one_run_bound(m, r, v, 0.0, 0.05) + 1e-9
    assert one_run_bound(m, r, v, delta, 0.01) <= low + 1e-9
    assert one_run_bound(m + 50, r, v, delta, 0.05) <= low + 1e-9


def test_the_null_rejects_as_often_as_stated() -> None:
    """With 100 blind guesses of 1000, the smallest count that fires is 59, and it comes up in 4.43% of runs."""
    firing = [v for v in range(101) if one_run_bound(1000, 100, v, 1e-5, 0.05) > 0]
    assert min(firing) == 59
    assert binom.sf(58, 100, 0.5) == pytest.approx(0.0443, abs=5e-5)


@pytest.mark.parametrize(
    ("m", "r", "v", "epsilon"),
    [
        (100, 100, 90, 3.58793),
        (1000, 1000, 800, 2.33324),
        (5000, 5000, 4000, 2.33374),
        (1000, 100, 95, 3.32330),
        (1000, 50, 50, 4.06191),
        (1000, 1000, 500, 0.0),
    ],
)
def test_gaussian_anchors(m: int, r: int, v: int, epsilon: float) -> None:
    assert one_run_gaussian_epsilon(m, r, v, delta=1e-5).low == pytest.approx(epsilon, abs=6e-6)


@settings(max_examples=60, deadline=None)
@given(triples)
def test_gaussian_bound_is_where_refutation_ends(triple: tuple[int, int, int]) -> None:
    mu = one_run_mu(*triple, 0.05)
    assert not refutes(*triple, mu + 1e-6, 0.05)
    assert all(refutes(*triple, mu * part, 0.05) for part in (0.2, 0.5, 0.9) if mu > 0)
    assert one_run_mu(triple[0], triple[1], max(0, triple[2] - 1), 0.05) <= mu + 1e-8


def test_no_guess_is_no_bound_and_impossible_counts_are_refused() -> None:
    assert one_run_epsilon(10, 0, 0, delta=1e-5).low == 0
    assert one_run_gaussian_epsilon(10, 0, 0, delta=1e-5).low == 0
    for audit in (one_run_epsilon, one_run_gaussian_epsilon):
        for counts in ((10, 11, 3), (10, 5, 6), (0, 0, 0), (10, 5, -1)):
            with pytest.raises(ValueError, match="correct <= guesses"):
                audit(*counts, delta=1e-5)
        with pytest.raises(ValueError, match="delta"):
            audit(10, 5, 3, delta=-0.1)
        with pytest.raises(TypeError, match="delta"):
            audit(10, 5, 3)


def test_anchors_take_less_than_twenty_milliseconds() -> None:
    for m, r, v, delta, _ in ANCHORS:
        fastest = math.inf
        for _ in range(3):
            one_run_bound.cache_clear()
            begin = time.perf_counter()
            one_run_bound(m, r, v, delta, 0.05)
            fastest = min(fastest, time.perf_counter() - begin)
        assert fastest < 0.02
