"""What ``docs/behaviour.md`` says that fedprivacy does where a library does something else at an edge."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy.defenses import masks, updates
from fedprivacy.privacy import Gaussian, Laplace, Mechanism, PoissonSampledGaussian, RandomizedResponse
from fedprivacy.privacy.accountant import epsilon_of
from fedprivacy.privacy.calibration import gaussian_multiplier
from fedprivacy.privacy.closed_forms import gaussian_delta
from fedprivacy.privacy.ledger import ledger
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.wire.codec import decode, encode
from fedprivacy.wire.payload import Weights

ROOT = Path(__file__).parents[1]


def cost(*mechanisms: Mechanism, delta: float = 1e-5) -> float:
    return epsilon_of(ledger(mechanisms), delta).epsilon


def test_every_row_of_the_page_names_a_test_that_is_there() -> None:
    page = (ROOT / "docs" / "behaviour.md").read_text()
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page))
    assert len(named) > 10
    for file, name in named:
        assert (ROOT / file).is_file(), file
        assert not name or f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


def test_no_step_costs_nothing_and_small_budgets_take_the_noise_they_need() -> None:
    assert cost() == 0.0
    for epsilon in (0.01, 0.104, 0.11):
        multiplier = gaussian_multiplier(epsilon, 1e-5)
        assert gaussian_delta(epsilon, 1 / multiplier) == pytest.approx(1e-5, rel=1e-3)
    assert gaussian_multiplier(0.11, 1e-5) == pytest.approx(28.19, abs=0.01)
    assert cost(Gaussian(1e4)) < 0.001


def test_a_batch_of_everybody_is_never_dearer_than_its_gaussian() -> None:
    for rate in (0.5, 0.75, 0.99, 1.0):
        assert cost(PoissonSampledGaussian(4.0, rate, 100)) <= cost(*[Gaussian(4.0)] * 100) * 1.001


@pytest.mark.parametrize("delta", [1e-5, 1e-14, 1e-15, 1e-16, 1e-20])
def test_pure_mechanisms_cost_at_most_their_sum_at_any_delta(delta: float) -> None:
    assert cost(*[Laplace(0.5)] * 10, delta=delta) <= 5.0
    assert cost(*[RandomizedResponse(0.5, 2)] * 10, delta=delta) <= 5.0
    assert cost(RandomizedResponse(0.5, 2, labels=10), delta=delta) > 4.9


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_clipped_update_is_within_its_bound_whatever_its_type(dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    for _ in range(50):
        update = {"w": (5 * torch.randn(50, generator=draw)).to(dtype), "b": torch.randn(3, generator=draw).to(dtype)}
        assert updates.norm(updates.clip(update, 1.0)) <= 1.0 + 1e-12


def test_a_long_update_in_half_precision_still_counts() -> None:
    clipped = updates.clip({"w": torch.full((36,), 100.0, dtype=torch.float16)}, 1.0)
    assert updates.norm(clipped) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_fixed_point_words_hold_half_precision(dtype: torch.dtype) -> None:
    given = {"w": torch.linspace(-1, 1, 1001).to(dtype)}
    scale = masks.steps_per_unit(8.0, 10)
    found = masks.from_words(masks.to_words(given, scale), scale)
    assert np.abs(found - given["w"].double().numpy()).max() <= 0.5 / scale


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("clients", [3, 100])
def test_the_mean_of_equal_models_is_that_model(dtype: torch.dtype, clients: int) -> None:
    model = {"w": torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype)}
    assert torch.equal(weighted_mean([model] * clients)["w"], model["w"])
    assert torch.equal(weighted_mean([model] * clients, [float(k + 1) for k in range(clients)])["w"], model["w"])


def test_bytes_count_what_is_sent_and_not_the_memory_around_it() -> None:
    matrix = torch.rand(1000, 100, generator=torch.Generator().manual_seed(0))
    row = encode(Weights({"w": matrix[3]}))
    assert len(row) == len(encode(Weights({"w": matrix[3].clone()}))) < 1000


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16, torch.float16])
def test_narrow_numbers_travel_bit_by_bit(dtype: torch.dtype) -> None:
    given: Tensor = torch.tensor([0.0, -1.5, 448.0, math.inf, math.nan]).to(dtype)
    found = decode(encode(Weights({"w": given})))
    assert isinstance(found, Weights)
    assert torch.equal(found.tensors["w"].view(torch.uint8), given.view(torch.uint8))
