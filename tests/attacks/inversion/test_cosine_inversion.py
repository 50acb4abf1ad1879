from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.cosine import PUBLISHED, CosineSettings, cosine
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.config.base import UsageError
from fedprivacy.metrics.images import score_images

Gradient = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]
State = Callable[[nn.Module], dict[str, Tensor]]
SHAPE, LABELS = (1, 8, 8), torch.tensor([2, 0, 3, 1, 1, 2])
CARD = Knowledge(SHAPE, 4, mean=(0.5,), std=(0.25,))
QUICK = CosineSettings(iterations=300, tv=(0.001,))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.fixture
def messages(smooth: nn.Module, images: Tensor, gradient_of: Gradient) -> list[dict[str, Tensor]]:
    return [gradient_of(smooth, CARD.to_input(images[i : i + 1]), LABELS[i : i + 1]) for i in range(len(images))]


def _psnr(found: Tensor, truth: Tensor) -> np.ndarray:
    return score_images(found.numpy(), truth.numpy(), np.full(SHAPE, 0.5)).psnr


def test_planted_gradients_beat_chance_and_strangers_do_not(
    smooth: nn.Module, images: Tensor, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    found = cosine(smooth, state_of(smooth), messages[:3], CARD, LABELS[:3, None], _generator(), QUICK)
    mean = _psnr(images[3:].mean(0, keepdim=True).repeat(3, 1, 1, 1), images[:3]).mean()
    assert _psnr(found.images[:, 0], images[:3]).mean() > mean + 6
    assert _psnr(found.images[:, 0], images[3:]).mean() < mean + 2


def test_batch_equals_single_runs(smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State) -> None:
    """Each problem has its own moments and its own stop, so its company changes nothing but rounding."""
    settings = replace(QUICK, iterations=60, restarts=2, tv=(0.1, 0.01), window=5, dtype=torch.float64)
    together = cosine(smooth, state_of(smooth), messages, CARD, LABELS[:, None], _generator(), settings)
    assert together.evaluations < 6 * 4 * 60
    for target in (1, 5):
        label = LABELS[target].view(1, 1)
        alone = cosine(smooth, state_of(smooth), [messages[target]], CARD, label, _generator(), settings)
        torch.testing.assert_close(together.images[target], alone.images[0], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(together.loss[target], alone.loss[0])


def test_weight_is_chosen_by_the_loss_without_variation(
    smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    run = [
        cosine(smooth, state_of(smooth), messages[:2], CARD, LABELS[:2, None], _generator(), replace(QUICK, tv=tv))
        for tv in ((10.0,), (0.001,), (10.0, 0.001))
    ]
    assert run[2].restarts == 2 and (run[1].loss < run[0].loss).all()
    torch.testing.assert_close(run[2].loss, run[1].loss, rtol=1e-3, atol=1e-5)


def test_images_stay_in_the_box(smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State) -> None:
    found = cosine(
        smooth, state_of(smooth), messages, CARD, LABELS[:, None], _generator(), replace(QUICK, iterations=20)
    )
    assert float(found.images.min()) > -1e-6 and float(found.images.max()) < 1 + 1e-6


def test_update_of_unknown_scale_serves(smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State) -> None:
    update = {name: -0.01 * value for name, value in messages[0].items()}
    settings = replace(QUICK, iterations=30, dtype=torch.float64)
    card = replace(CARD, shared="update")
    found = [
        cosine(smooth, state_of(smooth), [message], knowledge, LABELS[:1, None], _generator(), settings)
        for message, knowledge in ((messages[0], CARD), (update, card))
    ]
    torch.testing.assert_close(found[0].loss, found[1].loss)
    with pytest.raises(UsageError, match="use the attack 'local-steps'"):
        cosine(smooth, state_of(smooth), [update], replace(card, epochs=2), LABELS[:1, None], _generator())


def test_restarts_that_are_not_finite_are_counted(
    smooth: nn.Module, messages: list[dict[str, Tensor]], state_of: State
) -> None:
    broken = {name: value * torch.nan for name, value in messages[0].items()}
    settings = replace(QUICK, iterations=5, restarts=2)
    found = cosine(smooth, state_of(smooth), [broken, messages[1]], CARD, LABELS[:2, None], _generator(), settings)
    assert found.failed.tolist() == [2, 0]
    assert found.images[0].isnan().all() and found.images[1].isfinite().all()


def test_schedules() -> None:
    rates = [PUBLISHED.rate(i / 1000) for i in (0, 374, 375, 624, 625, 874, 875, 999)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])
    linear = CosineSettings(iterations=800, lr=0.2)
    assert [linear.rate(i / 800) for i in (0, 99, 100, 450, 800)] == pytest.approx([0.2, 0.2, 0.03, 0.015, 0.0])
