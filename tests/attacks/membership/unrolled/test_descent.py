"""Mixing past points against least squares solved at once, and log-odds against coins that were drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.descent import Mixer, log_odds

EQUATIONS, UNKNOWNS = 30, 6


def problem() -> tuple[Tensor, Tensor, Tensor]:
    """A badly conditioned system, its right side, and its least squares solution."""
    draw = seeds.generator(1, "system")
    a = torch.randn(EQUATIONS, UNKNOWNS, generator=draw, dtype=torch.float64) * torch.logspace(0, -1.5, UNKNOWNS)
    b = torch.randn(EQUATIONS, generator=draw, dtype=torch.float64)
    return a, b, torch.linalg.lstsq(a, b[:, None]).solution[:, 0]


def descended(memory: int, steps: int) -> Tensor:
    """Where steps along the gradient from mixtures end."""
    a, b, _ = problem()
    x, mixer, rate = torch.zeros(UNKNOWNS, dtype=torch.float64), Mixer(memory), 1 / torch.linalg.matrix_norm(a, 2) ** 2
    for _ in range(steps):
        off = a @ x - b
        mixed = mixer.mixed(off, torch.ones_like(off), {"x": x, "g": a.T @ off})
        x = mixed["x"] - rate * mixed["g"]
    return x


def test_mixtures_of_as_many_points_as_unknowns_solve_least_squares():
    a, b, solution = problem()
    least, start = float((a @ solution - b).square().sum()), float(b.square().sum())

    def left(memory: int) -> float:
        return (float((a @ descended(memory, 2 * UNKNOWNS) - b).square().sum()) - least) / (start - least)

    assert left(30) < 0.02
    assert left(1) > 0.4


def test_points_with_equal_residuals_and_noise_of_their_own_are_averaged():
    mixer, points = Mixer(4), torch.arange(4.0)
    noise = torch.linalg.qr(torch.randn(50, 4, generator=seeds.generator(2, "noise"))).Q
    for point, off in zip(points, noise.T, strict=True):
        mixed = mixer.mixed(off, torch.ones(50), {"x": point})
    assert float(mixed["x"]) == pytest.approx(1.5, abs=1e-4)


def test_points_without_any_residual_are_averaged():
    mixer = Mixer(4)
    found = [mixer.mixed(torch.zeros(5), torch.ones(5), {"x": point}) for point in torch.arange(3.0)]
    assert float(found[-1]["x"]) == pytest.approx(1.0)


@pytest.mark.parametrize("chance, reliability", [(0.5, 0.6), (0.2, 0.4)])
def test_log_odds_are_those_of_coins_that_were_drawn(chance: float, reliability: float):
    draw, number = seeds.generator(3, "coins"), 200_000
    coins = (torch.rand(number, generator=draw) < chance).double()
    spread = (reliability * (1 - reliability) * chance * (1 - chance)) ** 0.5
    noise = spread * torch.randn(number, generator=draw, dtype=torch.float64)
    estimate = chance + reliability * (coins - chance) + noise
    prior = torch.full((number,), chance, dtype=torch.float64)
    likely = torch.sigmoid(log_odds(estimate, prior) + torch.logit(prior))
    for low in (0.1, 0.3, 0.5, 0.7):
        some = (likely > low) & (likely < low + 0.2)
        assert float(coins[some].mean()) == pytest.approx(float(likely[some].mean()), abs=0.02)
