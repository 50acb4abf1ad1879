"""The aggregation mathematics: exact arithmetic, identities, invariances."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.training.aggregation import weighted_mean

values = st.lists(st.integers(-1000, 1000), min_size=1, max_size=6)
numbers = st.lists(st.integers(0, 100), min_size=6, max_size=6).filter(any)


def states(rows: list[list[int]]) -> list[dict[str, torch.Tensor]]:
    return [{"w": torch.tensor(row, dtype=torch.float64)} for row in rows]


@given(st.lists(st.lists(st.integers(-1000, 1000), min_size=3, max_size=3), min_size=6, max_size=6), numbers)
def test_equals_exact_arithmetic(rows: list[list[int]], weights: list[int]) -> None:
    total = sum(weights)
    exact = [sum(Fraction(w * row[i], total) for w, row in zip(weights, rows, strict=True)) for i in range(3)]
    ours = weighted_mean(states(rows), [float(w) for w in weights])["w"]
    np.testing.assert_allclose(ours.numpy(), [float(v) for v in exact], rtol=1e-12, atol=1e-10)


@given(values, st.integers(1, 7))
def test_mean_of_identical_clients_is_the_identity(row: list[int], clients: int) -> None:
    mean = weighted_mean(states([row] * clients), [1.0] * clients)["w"]
    torch.testing.assert_close(mean, torch.tensor(row, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@given(
    st.lists(st.lists(st.integers(-9, 9), min_size=2, max_size=2), min_size=6, max_size=6), st.permutations(range(6))
)
def test_order_of_clients_does_not_matter(rows: list[list[int]], order: list[int]) -> None:
    weights = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    one = weighted_mean(states(rows), weights)["w"]
    other = weighted_mean(states([rows[i] for i in order]), [weights[i] for i in order])["w"]
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@given(st.lists(st.lists(st.integers(-9, 9), min_size=2, max_size=2), min_size=6, max_size=6), numbers)
def test_stays_within_the_clients(rows: list[list[int]], weights: list[int]) -> None:
    mean = weighted_mean(states(rows), [float(w) for w in weights])["w"].numpy()
    used = [row for row, w in zip(rows, weights, strict=True) if w]
    assert (mean >= np.min(used, axis=0) - 1e-12).all()
    assert (mean <= np.max(used, axis=0) + 1e-12).all()


@given(numbers, st.floats(0.1, 50))
def test_scale_of_the_weights_does_not_matter(weights: list[int], scale: float) -> None:
    rows = [[i, -i * i] for i in range(6)]
    one = weighted_mean(states(rows), [float(w) for w in weights])["w"]
    other = weighted_mean(states(rows), [w * scale for w in weights])["w"]
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_equal_weights_by_default_and_own_types() -> None:
    mean = weighted_mean(
        [{"w": torch.tensor([1.0]), "n": torch.tensor(3)}, {"w": torch.tensor([2.0]), "n": torch.tensor(5)}]
    )
    assert mean["w"].dtype == torch.float32
    assert float(mean["w"]) == 1.5
    assert int(mean["n"]) == 5
    assert mean["n"].dtype == torch.int64


@pytest.mark.parametrize(
    ("given_states", "weights"),
    [
        ([], None),
        (states([[1], [2]]), [1.0]),
        (states([[1], [2]]), [0.0, 0.0]),
        (states([[1], [2]]), [2.0, -1.0]),
        ([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}], None),
        ([{"a": torch.zeros(1)}, {"a": torch.zeros(2)}], None),
    ],
)
def test_refuses_what_has_no_mean(given_states: list[dict[str, torch.Tensor]], weights: list[float] | None) -> None:
    with pytest.raises(ValueError, match=r"average|weights"):
        weighted_mean(given_states, weights)


def test_inputs_stay_as_they_were() -> None:
    rows = states([[1, 2], [3, 4]])
    before = [row["w"].clone() for row in rows]
    weighted_mean(rows)["w"].add_(100)
    for row, old in zip(rows, before, strict=True):
        assert torch.equal(row["w"], old)
