"""What an optimiser makes of noise: against written-out recursions and against torch's own optimisers."""

from __future__ import annotations

import math

import pytest
import torch

from fedprivacy.attacks.membership.joint.response import Round, memory, response
from fedprivacy.attacks.membership.unrolled.optimisers import Adam, Sgd

ENTRIES = 40_000


def one_round(optimiser: Adam | Sgd, deviation: float, steps: int) -> tuple[float, float]:
    found = response(optimiser, (Round(steps, deviation),))
    return float(found.gain), float(found.covariance)


def test_plain_steps_add_up() -> None:
    found = response(Sgd(0.1), (Round(7, 2.0), Round(3, 1.0)))
    torch.testing.assert_close(found.gain, torch.diag(torch.tensor([0.1 * 2 * 7, 0.1 * 3], dtype=torch.float64)))
    variances = torch.tensor([(0.1 * 2) ** 2 * 7, 0.1**2 * 3], dtype=torch.float64)
    torch.testing.assert_close(found.covariance, torch.diag(variances))


def test_momentum_gives_early_steps_a_longer_run() -> None:
    weights = [0.1 * sum(0.5**later for later in range(4 - step)) for step in range(4)]
    assert one_round(Sgd(0.1, 0.5), 1.0, 4) == pytest.approx((sum(weights), sum(w**2 for w in weights)))


def test_one_step_of_adam_tells_a_sign() -> None:
    gain, variance = one_round(Adam(0.01, 1e-8), 3.0, 1)
    assert variance == pytest.approx(0.01**2, rel=0.02)
    assert gain == pytest.approx(0.01 * math.sqrt(2 / math.pi), rel=0.02)


def test_of_adam_noise_alone_decides_the_size_of_a_step() -> None:
    one, other = (response(Adam(0.01, 1e-12), (Round(6, deviation),) * 2) for deviation in (1e-3, 10.0))
    torch.testing.assert_close(one.gain, other.gain, rtol=1e-3, atol=1e-9)
    torch.testing.assert_close(one.covariance, other.covariance, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("kind", [Adam(0.01, 1e-8), Sgd(0.01, 0.9)], ids=["adam", "momentum"])
@pytest.mark.parametrize("signals", [(1, 1, 1), (0, 0, 1), (1, 0, 0)])
def test_it_is_what_torch_does_whose_state_goes_on(kind: Adam | Sgd, signals: tuple[int, ...]) -> None:
    """A signal of a fifth of the noise in some of three rounds, by torch's optimiser and noise of another seed."""
    draw, changes = torch.Generator().manual_seed(5), []
    for sign in (0.2, -0.2):
        weight = torch.nn.Parameter(torch.zeros(ENTRIES))
        optimiser: torch.optim.Optimizer = torch.optim.SGD([weight], lr=0.01, momentum=0.9)
        if isinstance(kind, Adam):
            optimiser = torch.optim.Adam([weight], lr=0.01, eps=1e-8)
        changes.append([])
        for signal in signals:
            before = weight.detach().clone()
            for _ in range(5):
                weight.grad = 0.5 * (torch.randn(ENTRIES, generator=draw) + sign * signal)
                optimiser.step()
            changes[-1].append(before - weight.detach())
    found = response(kind, (Round(5, 0.5),) * 3)
    up, down = (torch.stack(one).double() for one in changes)
    sizes = found.covariance.diagonal().sqrt()
    gain = (up - down).mean(dim=1) / 0.4
    told = found.gain @ torch.tensor(signals, dtype=torch.float64)
    assert bool(((told - gain).abs() < 6 / math.sqrt(ENTRIES) * sizes / 0.4).all())
    torch.testing.assert_close(
        found.covariance / sizes / sizes[:, None], torch.cov(up) / sizes / sizes[:, None], rtol=0, atol=0.1
    )


@pytest.mark.parametrize("kind", [Adam(0.01, 1e-8), Sgd(0.01, 0.9)], ids=["adam", "momentum"])
def test_what_is_forgotten_makes_no_difference(kind: Adam | Sgd) -> None:
    rounds = 2 + memory(kind) // 20
    short, long = (response(kind, (Round(20, 0.5),) * number) for number in (rounds, rounds + 10))
    torch.testing.assert_close(short.covariance[-2:, -2:], long.covariance[-2:, -2:], rtol=0.02, atol=1e-8)
