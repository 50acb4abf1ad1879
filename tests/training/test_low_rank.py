"""Low-rank factors: stated energy, smallest rank, sizes, and the dense fallback."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.training.low_rank import compress, energy_at, factorise, rank_for, useful_rank
from fedprivacy.wire.codec import decode, encode, value_bytes
from fedprivacy.wire.payload import Update
from fedprivacy.wire.payloads import LowRank


def decaying(rows: int, columns: int, decay: float, seed: int = 0) -> torch.Tensor:
    """A matrix whose singular values are ``decay ** i``."""
    draw = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, rows, generator=draw, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(columns, columns, generator=draw, dtype=torch.float64))[0]
    number = min(rows, columns)
    sigma = decay ** torch.arange(number, dtype=torch.float64)
    return ((left[:, :number] * sigma) @ right[:number]).float()


@given(
    st.integers(2, 24),
    st.integers(2, 24),
    st.sampled_from([0.3, 0.6, 0.9]),
    st.sampled_from([0.5, 0.9, 0.95, 0.98, 0.9999]),
)
def test_factors_hold_the_stated_energy_with_the_smallest_rank(
    rows: int, columns: int, decay: float, energy: float
) -> None:
    matrix = decaying(rows, columns, decay)
    singular = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
    shares = np.cumsum(singular**2) / (singular**2).sum()
    needed = int((shares < energy).sum()) + 1
    factors = factorise(matrix, energy)
    if factors is None:
        assert needed > useful_rank(rows, columns)
        return
    left, sigma, right = factors
    assert len(sigma) == needed
    product = ((left * sigma) @ right).double()
    lost = (matrix.double() - product).square().sum() / matrix.double().square().sum()
    assert float(lost) == pytest.approx(1 - shares[needed - 1], abs=1e-5)
    np.testing.assert_allclose(sigma.numpy(), singular[:needed], rtol=2e-3)


def test_rank_rule_on_numbers() -> None:
    squares = torch.tensor([6.0, 3.0, 1.0])
    assert [rank_for(squares, e) for e in (0.5, 0.6, 0.61, 0.9, 0.91, 1.0)] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.97, 0.995])
@pytest.mark.parametrize("energy", [0.5, 0.95, 0.98, 0.998])
@pytest.mark.parametrize("turned", [False, True])
def test_large_matrices_take_a_short_cut_to_the_same_rank(decay: float, energy: float, turned: bool) -> None:
    matrix = decaying(160, 240, decay)
    singular = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
    needed = int((np.cumsum(singular**2) / (singular**2).sum() < energy).sum()) + 1
    factors = factorise(matrix.T if turned else matrix, energy)
    if factors is None:
        assert needed > useful_rank(160, 240)
        return
    left, sigma, right = factors
    assert len(sigma) == needed
    product = (left * sigma) @ right
    lost = (matrix - (product.T if turned else product)).double().square().sum() / matrix.double().square().sum()
    assert float(lost) <= 1 - energy + 1e-6


def test_of_a_few_squares_none_may_be_enough() -> None:
    assert rank_for(torch.tensor([6.0, 3.0]), 0.9, torch.tensor(10.0)) == 2
    assert rank_for(torch.tensor([6.0, 3.0]), 0.95, torch.tensor(10.0)) is None


def test_full_rank_is_allowed_and_zero_rank_is_not() -> None:
    flat = torch.ones(10)
    assert rank_for(flat, 0.99) == 10
    assert rank_for(torch.tensor([1.0, 0.0]), 1e-9) == 1


@pytest.mark.parametrize(("shape", "largest"), [((64, 28224), 63), ((64, 576), 57), ((64, 288), 52), ((32, 27), 14)])
def test_largest_useful_ranks_of_the_published_network(shape: tuple[int, int], largest: int) -> None:
    rows, columns = shape
    assert useful_rank(rows, columns) == largest
    assert largest * (rows + columns + 1) < rows * columns <= (largest + 1) * (rows + columns + 1)


def update_of(seed: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    low = torch.randn(16, 2, generator=draw) @ torch.randn(2, 3 * 5 * 5, generator=draw)
    return {
        "conv.weight": low.reshape(16, 3, 5, 5) + 1e-3 * torch.randn(16, 3, 5, 5, generator=draw),
        "conv.bias": torch.randn(16, generator=draw),
        "head.weight": torch.randn(10, 512, generator=draw),
        "thin.weight": torch.randn(1, 30, generator=draw),
        "still.weight": torch.zeros(20, 20),
    }


@pytest.mark.parametrize("seed", range(3))
def test_at_full_energy_the_update_comes_back_bit_for_bit(seed: int) -> None:
    update = update_of(seed)
    arrived = decode(encode(compress(update, 1.0)))
    assert isinstance(arrived, Update)
    assert all(torch.equal(arrived.tensors[name], update[name]) for name in update)


@pytest.mark.parametrize("energy", [0.5, 0.95, 0.98, 0.999, 1.0])
def test_never_more_values_than_dense(energy: float) -> None:
    update = update_of(0)
    dense = sum(4 * t.numel() for t in update.values())
    assert value_bytes(encode(compress(update, energy))) <= dense


def test_a_flat_spectrum_travels_dense_instead_of_vanishing() -> None:
    packed = compress({"head.weight": torch.eye(10, 512)}, 0.97)
    assert set(packed.dense) == {"head.weight"}
    assert torch.equal(packed.opened().tensors["head.weight"], torch.eye(10, 512))


def test_bytes_are_those_of_the_factors() -> None:
    packed = compress(update_of(0), 0.95)
    assert packed.sigma["conv.weight"].shape == (2,)
    factors = sum(len(s) * (packed.left[n].shape[0] + packed.right[n].shape[1] + 1) for n, s in packed.sigma.items())
    assert factors >= 2 * (16 + 75 + 1)
    rest = sum(t.numel() for t in packed.dense.values())
    assert value_bytes(encode(packed)) == 4 * (factors + rest)


def test_a_raw_tensor_with_three_rows_is_no_factor() -> None:
    update = {"w": torch.arange(12.0).reshape(3, 4)}
    arrived = decode(encode(compress(update, 0.999999)))
    assert isinstance(arrived, Update)
    np.testing.assert_allclose(arrived.tensors["w"].numpy(), update["w"].numpy(), atol=1e-3)


def test_energy_runs_from_start_to_end() -> None:
    schedule = [energy_at(0.95, 0.98, round, 10) for round in range(1, 11)]
    assert schedule == sorted(schedule)
    assert schedule[-1] == pytest.approx(0.98)
    assert schedule[4] == pytest.approx(0.965)


def test_decoding_gives_an_update_not_the_factors() -> None:
    packed = compress(update_of(1), 0.9)
    assert isinstance(packed, LowRank)
    assert isinstance(decode(encode(packed)), Update)
