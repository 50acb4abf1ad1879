"""Messages that tell a part of a gradient, and steps that were clipped: simulated as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.best import BestSettings, attacks_for, best_of
from fedprivacy.attacks.inversion.common_loss import common_loss
from fedprivacy.attacks.inversion.cosine import CosineSettings
from fedprivacy.attacks.inversion.dlg import DlgSettings
from fedprivacy.attacks.inversion.gradients import Layout, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.told import told
from fedprivacy.attacks.inversion.unroll import UnrollSettings
from fedprivacy.metrics.images import score_images
from fedprivacy.models.build import build
from fedprivacy.training.low_rank import compress

State = Callable[[nn.Module], dict[str, Tensor]]
SHAPE, CLASSES = (1, 8, 8), 4
LABELS = torch.tensor([2, 0, 1])
CARD = Knowledge(SHAPE, CLASSES, records=3)


def _draw() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def _loss(model: nn.Module, before: dict[str, Tensor], sent: dict[str, Tensor], card: Knowledge, x: Tensor) -> float:
    targets = one_hot(LABELS[: len(x)], CLASSES, torch.float64)
    return float(common_loss(model, before, [sent], card, x[None], targets[None]))


def test_small_singular_values_that_were_left_out_say_nothing(
    smooth: nn.Module, images: Tensor, gradient_of: Any, state_of: State
) -> None:
    whole = gradient_of(smooth, images[:3], LABELS)
    packed = compress(whole, 0.9)
    sent = packed.opened().tensors
    assert packed.shapes and any(float((whole[n] - sent[n]).norm()) > 1e-3 * float(whole[n].norm()) for n in whole)
    card = replace(CARD, low_rank=tuple(name for name, value in whole.items() if value.ndim > 1))
    layout, like = Layout.of(smooth), torch.zeros(1, dtype=torch.float64)
    seen, every = told(card, layout, layout.flat_all([sent], like)), torch.zeros(1, dtype=torch.long)
    true = layout.flat(whole, like)[None]
    torch.testing.assert_close(seen.of(true, every), layout.flat(sent, like)[None], atol=1e-6, rtol=0)
    a, b = torch.randn(2, 1, true.shape[1], generator=_draw(), dtype=torch.float64)
    torch.testing.assert_close(seen.of(seen.of(a, every), every), seen.of(a, every))
    torch.testing.assert_close((seen.of(a, every) * b).sum(), (a * seen.of(b, every)).sum())
    assert float((seen.of(a, every) - a).norm()) > 0.1
    before = state_of(smooth)
    assert _loss(smooth, before, sent, card, images[:3]) < 1e-5 < 0.01 < _loss(smooth, before, sent, CARD, images[:3])


def test_a_rank_that_was_cut_tells_no_number_of_records() -> None:
    model = build("mlp", SHAPE, CLASSES, "softmax", 0, "a")
    assert "spear" in attacks_for(model, replace(CARD, records=8))
    assert "spear" not in attacks_for(model, replace(CARD, records=8, low_rank=("layers.1.weight",)))


@pytest.mark.parametrize("sent_alone", ["first", "last"])
def test_a_group_of_layers_is_held_against_these_alone(images: Tensor, state_of: State, sent_alone: str) -> None:
    """Three local steps, of which one layer was sent: the truth explains it, and a first layer gives the records."""
    model = build("mlp", SHAPE, CLASSES, "softmax", 0, "a").double()
    before, optimiser = state_of(model), torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        optimiser.zero_grad()
        F.cross_entropy(model(images[:3]), LABELS).backward()
        optimiser.step()
    names = [name for name, _ in model.named_parameters()]
    group = set(names[:2] if sent_alone == "first" else names[-2:])
    sent = {n: v - before[n] if n in group else torch.zeros_like(v) for n, v in state_of(model).items()}
    plain = replace(CARD, shared="update", lr=0.5, epochs=3)
    card = replace(plain, silent=tuple(sorted(set(names) - group)))
    assert _loss(model, before, sent, card, images[:3]) < 1e-9
    assert _loss(model, before, sent, plain, images[:3]) > 0.1 < _loss(model, before, sent, card, images[3:6])
    if sent_alone == "first":
        found = best_of(model, before, [sent], card, _draw(), attacks=["spear"], labels=LABELS[None])
        apart = torch.cdist(images[:3].flatten(1), found.images[0].flatten(1), p=float("inf"))
        assert float(apart.min(1).values.max()) < 1e-6


def _private_step(model: nn.Module, x: Tensor, labels: Tensor, clip: float, over: float, noise: float) -> None:
    """One step of DP-SGD at rate 1, record by record."""
    total = [torch.zeros_like(p) for p in model.parameters()]
    for one, label in zip(x, labels, strict=True):
        slopes = torch.autograd.grad(F.cross_entropy(model(one[None]), label[None]), list(model.parameters()))
        norm = float(torch.cat([s.flatten() for s in slopes]).norm())
        total = [t + s * min(1.0, clip / norm) for t, s in zip(total, slopes, strict=True)]
    draw = _draw()
    with torch.no_grad():
        for parameter, t in zip(model.parameters(), total, strict=True):
            parameter -= t / over + noise * torch.randn(t.shape, generator=draw, dtype=t.dtype)


@pytest.mark.parametrize(("steps", "number"), [(1, 1), (2, 3)])
def test_clipped_steps_over_the_expected_batch_are_simulated(
    smooth: nn.Module, images: Tensor, state_of: State, steps: int, number: int
) -> None:
    before, clip, over, x, labels = state_of(smooth), 0.4, 2.5, images[:number], LABELS[:number]
    for _ in range(steps):
        _private_step(smooth, x, labels, clip, over, 0.0)
    sent = {name: value - before[name] for name, value in state_of(smooth).items()}
    plain = replace(CARD, records=number, shared="update", lr=1.0, epochs=steps)
    card = replace(plain, clip=clip, expected=over)
    assert _loss(smooth, before, sent, card, x) < 1e-9
    assert _loss(smooth, before, sent, plain, x) > 0.1
    assert attacks_for(smooth, card) == ("local-steps",)
    settings = BestSettings(local_steps=UnrollSettings("lbfgs", DlgSettings(outer=12), CosineSettings(iterations=1)))
    found = best_of(smooth, before, [sent], card, _draw(), None, settings, labels=labels[None])
    scores = score_images(found.images[0].numpy(), x.numpy(), np.full(SHAPE, 0.5))
    assert scores.psnr.min() > 30


def test_the_truth_explains_a_noised_step_up_to_its_noise(smooth: nn.Module, images: Tensor, state_of: State) -> None:
    before, clip, over, deviation = state_of(smooth), 0.4, 3.0, 0.01
    _private_step(smooth, images[:3], LABELS, clip, over, deviation)
    sent = {name: value - before[name] for name, value in state_of(smooth).items()}
    card = replace(CARD, shared="update", lr=1.0, clip=clip, expected=over, noise=deviation)
    entries = sum(value.numel() for value in sent.values())
    size = float(torch.cat([value.flatten() for value in sent.values()]).norm())
    assert _loss(smooth, before, sent, card, images[:3]) == pytest.approx(deviation * entries**0.5 / size, rel=0.15)
