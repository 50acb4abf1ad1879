"""Consensus: entropy-reduction aggregation lowers entropy, keeps the order, and matches published numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from fedprivacy.training.consensus import both_classes, enhanced, entropy_reduced, in_form_of, mean


def rows(seed: int, classes: int, concentration: float) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, concentration), size=8)


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from([0.3, 1.0, 5.0]), st.floats(0.05, 0.9))
def test_era_keeps_the_order_and_a_lower_temperature_lowers_entropy(
    seed: int, classes: int, concentration: float, heat: float
) -> None:
    m = rows(seed, classes, concentration)
    sharp, plain = (entropy_reduced(torch.from_numpy(m), t).numpy() for t in (heat, 1.0))
    np.testing.assert_allclose(sharp.sum(axis=1), 1)
    np.testing.assert_array_equal(sharp.argmax(axis=1), m.argmax(axis=1))
    assert (entropy(sharp, axis=1) <= entropy(plain, axis=1) + 1e-9).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from([0.3, 1.0, 5.0]), st.floats(0.01, 0.5))
def test_era_lowers_entropy_where_its_condition_holds(
    seed: int, classes: int, concentration: float, heat: float
) -> None:
    m = rows(seed, classes, concentration)
    ordered = np.sort(m, axis=1)
    steps = np.diff(ordered, axis=1)
    logarithmic_mean = steps / np.maximum(np.diff(np.log(np.maximum(ordered, 1e-300)), axis=1), 1e-300)
    holds = (logarithmic_mean >= heat).all(axis=1)
    sharp = entropy_reduced(torch.from_numpy(m), heat).numpy()
    assert (entropy(sharp[holds], axis=1) <= entropy(m[holds], axis=1) + 1e-9).all()


def test_era_lowers_the_entropy_where_most_clients_agree() -> None:
    draw = np.random.default_rng(0)
    leaning = np.full((500, 10), 0.1) + np.eye(10)[draw.integers(0, 10, 500)]
    m = np.stack([[draw.dirichlet(row) for row in leaning] for _ in range(5)]).mean(axis=0)
    sharp = entropy_reduced(torch.from_numpy(m), 0.1).numpy()
    assert (entropy(sharp, axis=1) < entropy(m, axis=1)).mean() > 0.9


def test_era_makes_a_certain_row_less_certain() -> None:
    certain = torch.tensor([[1.0, 0.0]])
    assert float(entropy_reduced(certain, 0.1)[0, 0]) == pytest.approx(1 / (1 + np.exp(-10)))


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.floats(1.0, 4.0))
def test_enhanced_lowers_entropy_and_keeps_the_order(seed: int, classes: int, beta: float) -> None:
    m = rows(seed, classes, 1.0)
    sharp = enhanced(torch.from_numpy(m), beta).numpy()
    np.testing.assert_allclose(sharp, m**beta / (m**beta).sum(axis=1, keepdims=True), rtol=1e-9)
    assert (entropy(sharp, axis=1) <= entropy(m, axis=1) + 1e-9).all()
    np.testing.assert_array_equal(sharp.argmax(axis=1), m.argmax(axis=1))


@pytest.mark.parametrize(("first", "expected"), [(0.6, 0.881), (0.9, 0.9997)])
def test_era_on_two_classes(first: float, expected: float) -> None:
    pair = entropy_reduced(torch.tensor([[first, 1 - first]]), 0.1)
    assert float(pair[0, 0]) == pytest.approx(expected, abs=5e-4)
    column = entropy_reduced(torch.tensor([[first]]), 0.1)
    assert float(column[0, 0]) == pytest.approx(expected, abs=5e-4)


def test_one_column_is_two_classes() -> None:
    column = torch.tensor([[0.3], [0.9]])
    assert torch.allclose(both_classes(column), torch.tensor([[0.7, 0.3], [0.1, 0.9]]))
    assert torch.equal(in_form_of(both_classes(column), column), column)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_mean_of_equal_predictions_is_each_of_them(seed: int, clients: int) -> None:
    m = torch.from_numpy(rows(seed, 4, 1.0))
    assert torch.allclose(mean([m] * clients), m, atol=1e-15)
    assert torch.allclose(mean([m] * clients, [1.0 + k for k in range(clients)]), m, atol=1e-15)


def test_weighted_mean_by_hand() -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert torch.allclose(mean([a, b], [3.0, 1.0]), torch.tensor([[0.75, 0.25]]))
