"""Margins and tails against exact arithmetic, and the identities between them."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp as oracle

from fedprivacy.attacks.membership.logits import (
    binary_logp,
    log1m,
    log_softmax,
    logsumexp,
    one_minus_p,
    phi,
    softplus,
    true_logp,
)

rows = st.lists(st.floats(-300, 300), min_size=2, max_size=6)


def exact_phi(z: list[float], label: int) -> float:
    """Margin in 400-digit decimals."""
    with localcontext() as context:
        context.prec = 400
        others = sum(Decimal(value).exp() for place, value in enumerate(z) if place != label)
        return float(Decimal(z[label]) - others.ln())


@given(z=rows, label=st.integers(0, 5))
@settings(deadline=None, max_examples=100)
def test_phi_is_exact_even_where_probabilities_are_zero_or_one(z: list[float], label: int):
    label %= len(z)
    logp = log_softmax(np.array([z]))
    expected = exact_phi(z, label)
    assert phi(logp, np.array([label]))[0] == pytest.approx(expected, rel=1e-12, abs=1e-10)


@given(z=rows, label=st.integers(0, 5), constant=st.floats(-100, 100))
@settings(deadline=None, max_examples=50)
def test_a_constant_added_to_a_row_changes_nothing(z: list[float], label: int, constant: float):
    label = np.array([label % len(z)])
    raw = np.array([z])
    np.testing.assert_allclose(phi(raw + constant, label), phi(raw, label), atol=1e-9)


@given(z=rows, label=st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_loss_is_softplus_of_minus_phi(z: list[float], label: int):
    label %= len(z)
    loss = oracle(z) - z[label]
    margin = phi(np.array([z]), np.array([label]))
    assert softplus(-margin)[0] == pytest.approx(loss, rel=1e-9, abs=1e-10)
    assert true_logp(margin)[0] == -softplus(-margin)[0]


def test_log1m_is_the_log_sum_of_the_other_classes():
    rng = np.random.default_rng(0)
    for scale in (1.0, 10.0, 100.0):
        z = scale * rng.normal(size=(50, 7))
        logp = log_softmax(z)
        expected = np.stack([oracle(np.delete(z, c, axis=1), axis=1) for c in range(7)], axis=1)
        np.testing.assert_allclose(log1m(logp), expected - oracle(z, axis=1)[:, None], rtol=1e-9, atol=1e-11)


def test_log1m_of_two_equal_classes():
    np.testing.assert_allclose(log1m(np.log(np.full((1, 2), 0.5))), np.log(0.5))


def test_log_softmax_agrees_with_scipy_and_lies_on_the_simplex():
    z = np.random.default_rng(1).normal(0, 30, (40, 5)).astype(np.float32)
    logp = log_softmax(z)
    assert logp.dtype == np.float64
    np.testing.assert_allclose(logp, z - oracle(z.astype(np.float64), axis=1)[:, None], atol=1e-12)
    np.testing.assert_allclose(logsumexp(logp), 0, atol=1e-12)


def test_one_minus_p_keeps_its_digits():
    np.testing.assert_allclose(one_minus_p(np.array([50.0, 700.0, -50.0])), [np.exp(-50), np.exp(-700), 1.0])
    np.testing.assert_allclose(true_logp(np.array([50.0, -800.0])), [-np.exp(-50), -800.0])


def test_one_logit_is_two_classes_exactly():
    z = np.array([-700.0, -3.0, 0.0, 12.0, 700.0])
    logp = binary_logp(z)
    np.testing.assert_allclose(phi(logp, np.ones(5, dtype=np.int64)), z, rtol=1e-14)
    np.testing.assert_allclose(phi(logp, np.zeros(5, dtype=np.int64)), -z, rtol=1e-14)


def test_unseen_rows_stay_missing_and_leave_their_neighbours_alone():
    logp = log_softmax(np.array([[1.0, 2.0], [np.nan, np.nan], [0.0, 3.0]]))
    margin = phi(logp, np.array([0, 0, 1]))
    np.testing.assert_array_equal(np.isnan(margin), [False, True, False])
    np.testing.assert_allclose(margin[[0, 2]], [-1.0, 3.0])


def test_phi_needs_two_classes():
    with pytest.raises(ValueError, match="two classes"):
        phi(np.zeros((3, 1)), np.zeros(3, dtype=np.int64))
