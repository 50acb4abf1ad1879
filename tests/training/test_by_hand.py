"""Gradients written out against autograd's, bit for bit, and where they are not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.seeds import torch_scope
from fedprivacy.training import learner as module_of_steps
from fedprivacy.training.by_hand import chain
from fedprivacy.training.distillation import soft_label_loss
from fedprivacy.training.learner import Loss, Records, Workbench, label_loss
from fedprivacy.training.proximal import proximal_loss


class Deep(nn.Module):
    relu_chain: ClassVar[tuple[str, ...]] = ("a", "b", "c")

    def __init__(self, outputs: int = 3) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 7), nn.Linear(7, 5), nn.Linear(5, outputs)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.c(functional.relu(self.b(functional.relu(self.a(x.flatten(1))))))
        return logits


class Other(Deep):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def made(kind: Callable[[], nn.Module]) -> nn.Module:
    with torch_scope(0, "by hand"):
        return kind()


rng = np.random.default_rng(0)
RECORDS = Records(rng.integers(0, 256, (45, 1, 3, 4), dtype=np.uint8), np.arange(45) % 3)


def smoothed(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, label_smoothing=0.1)


def trained(kind: Callable[[], nn.Module], loss: str, optimizer: str) -> tuple[dict[str, Tensor], list[float]]:
    bench = Workbench(lambda name, seed: made(kind), TrainingConfig(optimizer=optimizer, batch_size=8, lr=0.05))
    held = bench.learner("net", bench.initial("net", (0, ("a",))))
    target = functional.softmax(torch.arange(135.0).reshape(45, 3).sin(), 1)
    losses: dict[str, Loss] = {
        "labels": label_loss,
        "smoothed": smoothed,
        "soft": soft_label_loss(target, 2.0),
        "proximal": proximal_loss(held, 0.3),
    }
    epochs = held.fit(RECORDS, 3, (0, ("fit",)), losses[loss])
    return held.weights(), [value for epoch in epochs for value in (epoch.loss, epoch.accuracy)]


@pytest.mark.parametrize("kind", [Deep, lambda: build("mlp", (1, 3, 4), 3, "softmax", 0, "net")], ids=["deep", "mlp"])
@pytest.mark.parametrize("loss", ["labels", "smoothed", "soft", "proximal"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_is_that_of_autograd_bit_for_bit(
    kind: Callable[[], nn.Module], loss: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chain(made(kind)) is not None
    ours, told = trained(kind, loss, optimizer)
    monkeypatch.setattr(module_of_steps, "chain", lambda module: None)
    monkeypatch.setattr(module_of_steps, "AT_ONCE", 0)
    theirs, same = trained(kind, loss, optimizer)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert told == same


def frozen() -> nn.Module:
    module = Deep()
    module.b.requires_grad_(False)
    return module


def watched() -> nn.Module:
    module = Deep()
    module.b.register_forward_hook(lambda *_: None)
    return module


def with_dropout() -> nn.Module:
    module = Deep()
    module.drop = nn.Dropout(0.5)
    return module


@pytest.mark.parametrize("kind", [Other, frozen, watched, with_dropout, lambda: nn.Linear(12, 3)])
def test_whatever_computes_otherwise_is_left_to_autograd(kind: Callable[[], nn.Module]) -> None:
    assert chain(made(kind)) is None


def test_own_heads_and_sigmoids() -> None:
    assert chain(build("mlp@0.2", (1, 3, 4), 3, "softmax", 0, "net")) is None
    ours, _ = trained(lambda: build("mlp", (1, 3, 4), 3, "softmax", 0, "net"), "soft", "sgd")
    assert set(ours) == {"hidden.weight", "hidden.bias", "head.weight", "head.bias"}
