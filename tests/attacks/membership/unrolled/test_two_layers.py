"""The perceptron by hand against automatic differentiation of the same module."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.attacks.membership.unrolled.batch import Batch
from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.attacks.membership.unrolled.optimisers import Sgd
from fedprivacy.attacks.membership.unrolled.parameters import Flat
from fedprivacy.attacks.membership.unrolled.two_layers import TwoLayers, model_of
from fedprivacy.attacks.membership.unrolled.work import forward, steps_within
from fedprivacy.config.run import TrainingConfig
from fedprivacy.federation.course import Answer, Fit, Private
from fedprivacy.models.build import build
from fedprivacy.models.mlp import Mlp
from fedprivacy.training.learner import Loss, Records, label_loss, normalised
from fedprivacy.training.losses import cross_entropy, kl_divergence, log_probabilities
from fedprivacy.training.taught import Taught

DEAD = [0, 5, 11]


@pytest.fixture
def records() -> tuple[Tensor, Tensor]:
    draw = seeds.generator(2, "records")
    x = torch.rand(7, 3, 4, generator=draw, dtype=torch.float64)
    x.view(7, -1)[:, DEAD] = 0
    return x, torch.randint(0, 3, (7,), generator=draw)


TARGET = torch.log_softmax(torch.randn(7, 3, generator=seeds.generator(3, "target"), dtype=torch.float64), 1)


def graphed(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    """A loss that tells nothing of itself."""
    return cross_entropy(logits, labels) + kl_divergence(log_probabilities(logits), TARGET[rows])


LOSSES: list[Loss] = [label_loss, Taught(TARGET, None, 0.7), graphed]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("members, scale", [(4, 1.0), (None, 1.0), (None, 0.1)])
def test_gradient_and_product_are_those_of_the_module(
    records: tuple[Tensor, Tensor], loss: Loss, members: int | None, scale: float
):
    x, y = records
    module = Mlp((3, 4), 3).double()
    with seeds.torch_scope(4, "weights"):
        state = {name: torch.randn_like(p) * 0.5 for name, p in module.state_dict().items()}
    plain, quick = Flat.of(module), model_of(module, [x])
    assert isinstance(quick, TwoLayers)
    assert len(quick.used) == 12 - len(DEAD)
    coins = torch.rand(9, generator=seeds.generator(5, "coins"), dtype=torch.float64).mul_(scale).requires_grad_()
    rows = torch.tensor([6, 0, 3, 2, 5, 1, 4])
    assert (float(coins.detach()[rows].sum()) > 1) == (scale == 1)

    inputs = x.flatten(1)
    batch = Batch(inputs, y, rows, loss, coins, members)
    g, slow = plain.gradient(plain.flatten(state), batch, keep=True)
    g_quickly, fast = quick.gradient(quick.flatten(state), replace(batch, x=inputs[:, quick.used]), keep=True)
    wide = {name: part.clone() for name, part in plain._named(g).items()}
    torch.testing.assert_close(g_quickly, quick.flatten(wide))
    vector = torch.randn(len(g), generator=seeds.generator(6, "vector"), dtype=torch.float64)
    vector = plain.flatten({n: p.index_fill(1, torch.tensor(DEAD), 0) if n == "hidden.weight" else p
                            for n, p in plain._named(vector).items()})  # fmt: skip
    through, by_coins = slow.product(vector)
    quickly, by_coins_quickly = fast.product(quick.flatten(plain._named(vector)))
    torch.testing.assert_close(quickly, quick.flatten(plain._named(through)))
    torch.testing.assert_close(by_coins_quickly, by_coins)
    torch.testing.assert_close(quick.logits(quick.flatten(state), inputs[:, quick.used]), plain.logits(
        plain.flatten(state), inputs))  # fmt: skip


def test_public_records_count_alike_and_have_no_coins(records: tuple[Tensor, Tensor]):
    (x, y), module = records, Mlp((3, 4), 3).double()
    quick, rows = model_of(module, [records[0]]), torch.arange(7)
    state = quick.flatten(module.state_dict())
    vector = torch.randn(len(state), generator=seeds.generator(7, "vector"), dtype=torch.float64)
    found = []
    for loss in (label_loss, cross_entropy_of):
        g, gradient = quick.gradient(state, Batch(quick.taken(normalised(x)).double(), y, rows, loss), keep=True)
        through, by_coins = gradient.product(vector)
        assert by_coins is None
        found.append((g, through))
    torch.testing.assert_close(*found)


def cross_entropy_of(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    return cross_entropy(logits, labels)


def test_tensors_taken_over_replace_their_part_alone(records: tuple[Tensor, Tensor]):
    module = Mlp((3, 4), 3).double()
    quick, state = model_of(module, [records[0]]), module.state_dict()
    changed = {**state, "head.bias": state["head.bias"] + 1}
    new, kept = quick.replaced(quick.flatten(state), {"head.bias": changed["head.bias"]})
    torch.testing.assert_close(new, quick.flatten(changed))
    assert int((kept == 0).sum()) == 3 and bool((kept[-3:] == 0).all())


def test_other_architectures_are_left_to_automatic_differentiation():
    module = build("cnn", (1, 8, 8), 3, "softmax", 0, "test")
    assert isinstance(model_of(module, [torch.zeros(2, 1, 8, 8)]), Flat)


def test_work_is_counted_by_the_matrix_products():
    module = Mlp((3, 4), 3)
    quick = model_of(module, [torch.ones(2, 3, 4)])
    records, order = Records(np.ones((6, 3, 4), dtype=np.float32), np.zeros(6, dtype=np.int64)), [torch.arange(10)]
    events = [Private(1), Answer(1), Fit(records, label_loss, 5, "public")]
    training = TrainingConfig(batch_size=2)
    client = Client(quick, Sgd(0.1), training, torch.ones(10, 12), torch.zeros(10), order, {}, events, 0.5)
    a_record = 2 * (12 * 256 + 256 * 3)
    assert quick.operations(torch.ones(1, 12)) == Flat.of(module).operations(torch.ones(1, 12)) == a_record
    # Two passes over three batches of four candidates, and five over three batches of two records.
    assert forward(client) == a_record * (2 * 3 + 5 * 3) * 2
    assert steps_within(client, 0, 100, 16 * 7.5 * forward(client)) == 7
    assert steps_within(client, 100, 100, 16 * 7.5 * forward(client)) < 0
