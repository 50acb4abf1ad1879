"""The range coder: round trips, sizes against the entropy, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedprivacy.training import range_coder

alphabets = st.integers(1, 40)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[list[int], int]:
    alphabet = draw(alphabets)
    return draw(st.lists(st.integers(0, alphabet - 1), max_size=200)), alphabet


@given(sequences())
@example(([], 5))
@example(([0] * 200, 2))
@example(([1] * 200, 2))
def test_what_goes_in_comes_out(case: tuple[list[int], int]) -> None:
    symbols, alphabet = case
    assert range_coder.decode(range_coder.encode(symbols, alphabet), len(symbols), alphabet) == symbols


@pytest.mark.parametrize("alphabet", [2, 11, 256])
@pytest.mark.parametrize("skew", [0.02, 1.0])
def test_long_sequences_survive_halved_counts_and_carries(alphabet: int, skew: float) -> None:
    draw = np.random.default_rng(alphabet)
    shares = draw.dirichlet(np.full(alphabet, skew))
    symbols = draw.choice(alphabet, size=50_000, p=shares).tolist()
    data = range_coder.encode(symbols, alphabet)
    assert range_coder.decode(data, len(symbols), alphabet) == symbols
    ideal = range_coder.entropy_bytes(symbols)
    estimator = (alphabet - 1) / 2 * np.log2(len(symbols)) / 8
    assert ideal - 1 <= len(data) <= 1.02 * ideal + 1.5 * estimator + 4


def test_a_constant_sequence_costs_next_to_nothing() -> None:
    assert len(range_coder.encode([3] * 1000, 11)) < 10
    assert range_coder.entropy_bytes([3] * 1000) == 0


def test_a_uniform_sequence_costs_its_logarithm() -> None:
    symbols = np.random.default_rng(0).integers(0, 8, 4000)
    assert range_coder.entropy_bytes(symbols) == pytest.approx(4000 * 3 / 8, rel=0.01)
    assert len(range_coder.encode(symbols, 8)) == pytest.approx(4000 * 3 / 8, rel=0.01)


def test_entropy_of_a_fair_coin_is_one_bit() -> None:
    assert range_coder.entropy_bytes([0, 1] * 40) == pytest.approx(10)


@pytest.mark.parametrize("alphabet", [0, 5000])
def test_refuses_alphabets_it_cannot_hold(alphabet: int) -> None:
    with pytest.raises(ValueError, match="alphabet"):
        range_coder.encode([0], alphabet)


def test_refuses_a_symbol_outside_the_alphabet() -> None:
    with pytest.raises(ValueError, match="symbol 4 is not below 4"):
        range_coder.encode([4], 4)
