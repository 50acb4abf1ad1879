from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from fedprivacy.attacks.inversion.matching import cosine, relative_l2, squared_l2, total_variation


def _draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 9))
def test_derivatives_are_those_of_autograd(seed: int, problems: int, size: int) -> None:
    simulated, observed = _draw(seed, problems, size), _draw(seed + 1, problems, size)
    for distance, reference in (
        (squared_l2, lambda a, b: (a - b).square().sum(1)),
        (cosine, lambda a, b: 1 - F.cosine_similarity(a, b)),
    ):
        value, slope = distance(simulated, observed)
        point = simulated.clone().requires_grad_()
        oracle = reference(point, observed)
        (wanted,) = torch.autograd.grad(oracle.sum(), point)
        torch.testing.assert_close(value, oracle.detach())
        torch.testing.assert_close(slope, wanted)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
def test_total_variation_and_its_derivative(seed: int, channels: int, height: int, width: int) -> None:
    images = _draw(seed, 2, 1, channels, height, width)
    value, slope = total_variation(images)
    point = images.clone().requires_grad_()
    parts = [(point[..., 1:, :] - point[..., :-1, :]).abs(), (point[..., 1:] - point[..., :-1]).abs()]
    oracle = sum((part.flatten(1).mean(1) for part in parts if part.numel()), torch.zeros(2).double())
    torch.testing.assert_close(value, oracle.detach())
    if oracle.requires_grad:
        (wanted,) = torch.autograd.grad(oracle.sum(), point)
        torch.testing.assert_close(slope, wanted)
    else:
        assert not slope.any()


def test_flat_image_has_no_variation() -> None:
    value, slope = total_variation(torch.full((1, 3, 5, 4), 0.7))
    assert value.item() == 0 and not slope.any()


def test_cosine_ignores_scale() -> None:
    g = _draw(0, 3, 20)
    assert cosine(5 * g, g)[0].abs().max() < 1e-12
    torch.testing.assert_close(cosine(-g, g)[0], torch.full((3,), 2.0).double())


def test_relative_l2_of_nothing_is_one_and_of_itself_zero() -> None:
    g = _draw(1, 2, 30)
    assert relative_l2(g, g).tolist() == [0.0, 0.0]
    assert relative_l2(torch.zeros_like(g), g).tolist() == pytest.approx([1.0, 1.0])
    assert relative_l2(g.float(), g).dtype is torch.float64


def test_relative_l2_of_unknown_scale_is_the_sine_of_the_angle() -> None:
    observed, simulated = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 3.0]])
    assert relative_l2(simulated, observed, scale_known=False).item() == pytest.approx(math.sin(math.pi / 4))
    assert relative_l2(-simulated, observed, scale_known=False).item() == pytest.approx(1.0)
