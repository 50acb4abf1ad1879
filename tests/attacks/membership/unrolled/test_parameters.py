"""Products with the derivative of a gradient, against differences of gradients, for layers of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.batch import Batch
from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.attacks.membership.unrolled.optimisers import Sgd
from fedprivacy.attacks.membership.unrolled.parameters import Flat, Graph
from fedprivacy.config.run import TrainingConfig
from fedprivacy.federation.course import Answer, Fit
from fedprivacy.training.learner import Records, Workbench, label_loss

RECORDS, WORDS, WIDTH, CLASSES = 6, 5, 4, 3


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read, self.head = nn.GRU(WIDTH, 6, batch_first=True), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.read(x)[0][:, -1])
        return logits


class Attention(nn.Module):
    """Torch takes a fused kernel for it, which has no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.0, activation="gelu", batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.read(x).mean(dim=1))
        return logits


class Distances(nn.Module):
    """The derivative of ``torch.cdist`` has none; dropout has to be the same wherever the gradient is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.drop = nn.Linear(WORDS * WIDTH, WIDTH), nn.Dropout(0.3)
        self.places = nn.Parameter(torch.randn(CLASSES, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return -torch.cdist(self.drop(torch.tanh(self.read(x.flatten(1)))), self.places)


def case(kind: type[nn.Module], dtype: torch.dtype) -> tuple[Flat, Tensor, Batch, Tensor]:
    with seeds.torch_scope(0, "test", kind.__name__):
        flat = Flat.of(kind().to(dtype).train())
        x, y = torch.randn(RECORDS, WORDS, WIDTH, dtype=dtype), torch.randint(0, CLASSES, (RECORDS,))
        coins = torch.rand(RECORDS + 2, dtype=dtype).requires_grad_(True)
        w = flat.flatten(flat.module.state_dict())
        return flat, w, Batch(x, y, torch.arange(RECORDS) + 1, label_loss, coins), torch.randn_like(w)


def gradient(flat: Flat, w: Tensor, batch: Batch) -> tuple[Tensor, Graph]:
    with seeds.torch_scope(1, "dropout"):
        g, found = flat.gradient(w, batch, keep=True)
    assert isinstance(found, Graph)
    return g, found


@pytest.mark.parametrize("kind", [Recurrent, Attention, Distances])
def test_products_agree_with_differences(kind: type[nn.Module]) -> None:
    flat, w, batch, vector = case(kind, torch.float64)
    through, by_coins = gradient(flat, w, batch)[1].product(vector)
    step = 1e-6
    up, down = (gradient(flat, w + sign * step * vector, batch)[0] for sign in (1, -1))
    torch.testing.assert_close(through, (up - down) / (2 * step), rtol=1e-5, atol=1e-7)
    assert by_coins is not None
    slopes = []
    for i in range(len(by_coins)):
        ends = []
        for sign in (1, -1):
            bump = torch.zeros_like(by_coins)
            bump[i] = sign * step
            moved = Batch(batch.x, batch.y, batch.rows, batch.loss, (batch.coins + bump).detach())
            ends.append(float(vector @ gradient(flat, w, moved)[0]))
        slopes.append((ends[0] - ends[1]) / (2 * step))
    torch.testing.assert_close(by_coins, torch.tensor(slopes, dtype=torch.float64), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_without_a_second_derivative_single_precision_is_enough(size: float) -> None:
    flat, w, batch, vector = case(Distances, torch.float32)
    found = gradient(flat, w, batch)[1].product(size * vector)
    flat.module.double()
    whole = Batch(batch.x.double(), batch.y, batch.rows, batch.loss, batch.coins.detach().double().requires_grad_(True))
    wanted = gradient(flat, w.double(), whole)[1].product(size * vector.double())
    for one, other in zip(found, wanted, strict=True):
        assert float((one - other).norm()) < 2e-3 * float(other.norm())


class Normalised(nn.Module):
    """Running statistics move in training, and a constant does not."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.norm, self.head = nn.Linear(WIDTH, 6), nn.BatchNorm1d(6), nn.Linear(6, CLASSES)
        self.register_buffer("shift", torch.linspace(-1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.norm(self.read(x)) + self.shift))
        return logits


def test_running_statistics_are_followed_and_a_last_batch_of_one_is_left_out() -> None:
    training = TrainingConfig(batch_size=4, optimizer="sgd", lr=0.1)
    draw = np.random.default_rng(0)
    records = Records(draw.standard_normal((9, WIDTH)).astype(np.float32), np.arange(9) % CLASSES)
    asked = torch.from_numpy(draw.standard_normal((5, WIDTH)).astype(np.float32))
    bench = Workbench(lambda name, seed: Normalised(), training)
    start = bench.initial("model", (0, ("start",)))
    learner = bench.learner("model", start)
    learner.fit(records, 2, (0, ("order",)), shuffle=False)
    flat = Flat.of(Normalised())
    events = [Fit(records, label_loss, 2, "public", even=False), Answer(1)]
    nothing = torch.zeros(0, WIDTH), torch.zeros(0, dtype=torch.long)
    client = Client(flat, Sgd(0.1), training, *nothing, [], {1: asked}, events, 0.5)
    answers = client.forward(flat.flatten(start), torch.zeros(0), seed=1, keep=False).answers[1]
    torch.testing.assert_close(answers, learner.logits(asked.numpy()), rtol=1e-4, atol=1e-5)
    assert not torch.equal(learner.weights()["norm.running_mean"], start["norm.running_mean"])
    assert int(learner.weights()["norm.num_batches_tracked"]) == 4
