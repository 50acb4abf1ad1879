"""What an optimiser makes of noise: against written-out recursions and against torch's own optimisers."""

from __future__ import annotations

import math

import pytest
import torch

from fedprivacy.attacks.membership.joint.response import response
from fedprivacy.attacks.membership.unrolled.optimisers import Adam, Sgd

ENTRIES = 40_000


def test_plain_steps_add_up() -> None:
    found = response(Sgd(0.1), 2.0, 7, 3)
    assert (found.gain, found.variance) == pytest.approx((0.1 * 2 * 7, (0.1 * 2) ** 2 * 7))


def test_momentum_gives_early_steps_a_longer_run() -> None:
    weights = [0.1 * sum(0.5**later for later in range(4 - step)) for step in range(4)]
    found = response(Sgd(0.1, 0.5), 1.0, 4)
    assert (found.gain, found.variance) == pytest.approx((sum(weights), sum(w**2 for w in weights)))


def test_one_step_of_adam_tells_a_sign() -> None:
    found = response(Adam(0.01, 1e-8), 3.0, 1)
    assert found.variance == pytest.approx(0.01**2, rel=0.02)
    assert found.gain == pytest.approx(0.01 * math.sqrt(2 / math.pi), rel=0.02)


def test_of_adam_noise_alone_decides_the_size_of_a_step() -> None:
    one, other = response(Adam(0.01, 1e-12), 1e-3, 6, 2), response(Adam(0.01, 1e-12), 10.0, 6, 2)
    assert (one.gain, one.variance) == pytest.approx((other.gain, other.variance), rel=1e-3)


@pytest.mark.parametrize("apart", [False, True], ids=["the same records in all rounds", "other records before"])
@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("kind", [Adam(0.01, 1e-8), Sgd(0.01, 0.9)], ids=["adam", "momentum"])
def test_it_is_what_torch_does_whose_state_goes_on(kind: Adam | Sgd, rounds: int, apart: bool) -> None:
    """A signal of a fifth of the noise, by torch's optimiser and noise of another seed."""
    draw, changes = torch.Generator().manual_seed(5), []
    for delta in (0.2, -0.2):
        weight = torch.nn.Parameter(torch.zeros(ENTRIES))
        optimiser: torch.optim.Optimizer = torch.optim.SGD([weight], lr=0.01, momentum=0.9)
        if isinstance(kind, Adam):
            optimiser = torch.optim.Adam([weight], lr=0.01, eps=1e-8)
        for number in range(1, rounds + 1):
            before, signal = weight.detach().clone(), 0.0 if apart and number < rounds else delta
            for _ in range(5):
                weight.grad = 0.5 * (torch.randn(ENTRIES, generator=draw) + signal)
                optimiser.step()
        changes.append(before - weight.detach())
    found, spread = response(kind, 0.5, 5, rounds, apart), math.sqrt(1 / ENTRIES)
    gain = float((changes[0] - changes[1]).mean() / 0.4)
    assert found.variance == pytest.approx(float(changes[0].var()), rel=0.05)
    assert found.gain == pytest.approx(gain, abs=6 * spread * math.sqrt(found.variance) / 0.4)


def test_what_adam_makes_of_noise_settles() -> None:
    first, later = (response(Adam(0.01, 1e-8), 0.5, 20, round) for round in (6, 500))
    assert first == later
