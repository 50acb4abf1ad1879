"""Private training under relaxed coins: against finite differences, and against the training of the clients themselves.

What a client of known coins does without noise, in batches of everybody, is no draw: the relaxed run has to end where
:class:`~fedprivacy.training.dp_sgd.DpSgd` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.attacks.membership.observations import joint_predictions
from fedprivacy.attacks.membership.observations.joint_predictions import JointPredictions, JointProbes
from fedprivacy.attacks.membership.unrolled.adjoint import derivatives
from fedprivacy.attacks.membership.unrolled.batch import Batch
from fedprivacy.attacks.membership.unrolled.client import Client, _Walk
from fedprivacy.attacks.membership.unrolled.optimisers import Adam, Sgd
from fedprivacy.attacks.membership.unrolled.parameters import Flat
from fedprivacy.attacks.membership.unrolled.private_training import PrivateTraining
from fedprivacy.attacks.membership.unrolled.situation import situation
from fedprivacy.attacks.membership.unrolled.two_layers import TwoLayers, model_of
from fedprivacy.attacks.membership.unrolled.work import forward
from fedprivacy.config.run import TrainingConfig
from fedprivacy.federation.course import Answer, Private
from fedprivacy.models.build import build
from fedprivacy.models.mlp import Mlp
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import label_loss, normalised
from fedprivacy.training.losses import cross_entropy

N, C, NOMINAL = 12, 3, 6


def records() -> tuple[Tensor, Tensor]:
    draw = seeds.generator(1, "records")
    return torch.rand(N, 3, 4, generator=draw), torch.randint(0, C, (N,), generator=draw)


def client(fit: DpSgd, optimiser: Any, epochs: int = 2, rounds: int = 2) -> Client:
    """A small perceptron in float64 that trains, answers, and trains again."""
    x, y = records()
    model = model_of(Mlp((3, 4), C).double(), [x])
    events = [event for number in range(1, rounds + 1) for event in (Private(number), Answer(number))]
    asked = {number: normalised(x[:5]) for number in range(1, rounds + 1)}
    private = PrivateTraining(fit, (NOMINAL,))
    training = TrainingConfig(local_epochs=epochs)
    return Client(model, optimiser, training, normalised(x), y, [torch.arange(N)], asked, events, 0.5, private)


def start_of(one: Client) -> Tensor:
    with seeds.torch_scope(2, "start"):
        return one.model.flatten({n: torch.randn_like(p) / 2 for n, p in one.model.module.state_dict().items()})


@pytest.mark.parametrize(
    "fit, optimiser, epochs, rounds",
    [
        pytest.param(DpSgd(2e-7, 1e6, 3), Adam(0.05, 1e-3, adjoint_eps=0), 2, 2, id="nothing is clipped, noise, Adam"),
        pytest.param(DpSgd(2e-7, 1e6, 3, "partition"), Sgd(0.2, 0.9), 2, 2, id="batches are dealt"),
        pytest.param(DpSgd(0.5, 0.3, 6), Sgd(0.2), 1, 1, id="all is clipped, one step"),
    ],
)
def test_the_derivative_is_that_of_finite_differences(fit: DpSgd, optimiser: Any, epochs: int, rounds: int):
    one = client(fit, optimiser, epochs, rounds)
    start, coins = start_of(one), torch.linspace(0.1, 0.9, N, dtype=torch.float64)
    weights = {t: torch.linspace(-1, 1, 5 * C, dtype=torch.float64).reshape(5, C) ** t for t in one.asked}

    def value(at: Tensor) -> float:
        done = one.forward(start, at, 5, keep=False)
        return sum(float((weights[t] * z).sum()) for t, z in done.answers.items())

    by_coins, _ = derivatives(one.forward(start, coins, 5), optimiser, start, weights)
    assert float(by_coins.abs().max()) > 1e-3
    for i in range(N):
        bump = torch.zeros_like(coins)
        bump[i] = 1e-6
        slope = (value(coins + bump) - value(coins - bump)) / 2e-6
        assert float(by_coins[i]) == pytest.approx(slope, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("clip", [0.5, 1e6])
def test_without_a_draw_it_is_the_training_of_the_client(clip: float):
    fit = DpSgd(0.0, clip, NOMINAL)  # a batch is everybody
    one = client(fit, Sgd(0.3), epochs=3)
    start, (x, y) = start_of(one), records()
    coins = torch.arange(N) % 2 == 0
    found = one.forward(start, coins.double(), 5, keep=False).answers[2]

    module = Mlp((3, 4), C).double()
    assert isinstance(one.model, TwoLayers) and len(one.model.used) == 12
    torch.nn.utils.vector_to_parameters(start, module.parameters())
    inputs = one.model.taken(normalised(x)).double()
    for _ in range(6):  # three epochs in each of two rounds
        total = [torch.zeros_like(p) for p in module.parameters()]
        for row in torch.nonzero(coins).flatten().tolist():
            loss = cross_entropy(module(inputs[row : row + 1]), y[row : row + 1])
            own = torch.autograd.grad(loss, list(module.parameters()))
            norm = float(torch.cat([g.flatten() for g in own]).norm())
            total = [t + g * min(1.0, clip / norm) for t, g in zip(total, own, strict=True)]
        with torch.no_grad():
            for parameter, g in zip(module.parameters(), total, strict=True):
                parameter -= 0.3 * g / NOMINAL
    torch.testing.assert_close(found, module(inputs[:5]).detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_norms_are_those_of_each_record_alone(name: str):
    module = build(name, (1, 8, 8), C, "softmax", 0, "test").double().eval()
    draw = seeds.generator(3, "records")
    x, y = torch.rand(4, 1, 8, 8, generator=draw), torch.tensor([0, 1, 2, 1])
    model = model_of(module, [x])
    vector = model.flatten(module.state_dict())
    norms = model.norms(vector, Batch(model.taken(normalised(x)).double(), y, torch.arange(4), label_loss))
    flat, prepared = Flat.of(module), model.taken(normalised(x)).double()
    for row in range(4):
        one = Batch(prepared[row : row + 1], y[row : row + 1], torch.tensor([row]), label_loss)
        own, _ = (flat if isinstance(model, Flat) else model).gradient(vector, one, keep=False)
        assert float(norms[row]) == pytest.approx(float(own.norm()), rel=1e-6)


def test_norms_are_where_the_weights_are_and_in_their_precision():
    module = build("cnn", (1, 8, 8), C, "softmax", 0, "test").eval()
    flat = Flat.of(module)
    before = flat.flatten(module.state_dict()).clone()
    batch = Batch(torch.rand(3, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2]), torch.arange(3), label_loss)
    norms = flat.norms(2 * before.double(), batch)
    assert norms.dtype == torch.float64 and bool((norms > 0).all())
    torch.testing.assert_close(flat.flatten(module.state_dict()), before)  # the module is somebody else's
    elsewhere = Flat.of(build("cnn", (1, 8, 8), C, "softmax", 0, "test").to("meta"))
    assert elsewhere.operations(torch.ones(1, 1, 8, 8)) == flat.operations(torch.ones(1, 1, 8, 8))


class Dropping(nn.Module):
    """Half of its features are left out while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(12, C)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.drop(x.flatten(1)))
        return answer


def test_a_gradient_drops_out_what_its_norm_did():
    x, y = records()
    fit, clip = DpSgd(0.0, 0.01, NOMINAL), 0.01  # one batch of everybody, of whom only one counts
    model = Flat.of(Dropping())
    training = TrainingConfig(local_epochs=1)
    events, asked = [Private(1), Answer(1)], {1: x[:5]}
    private = PrivateTraining(fit, (NOMINAL,))
    one = Client(model, Sgd(1.0), training, x, y, [torch.arange(N)], asked, events, 0.5, private)
    start, coins = model.flatten(model.module.state_dict()), torch.zeros(N)
    coins[3] = 1.0
    walked = _Walk(one, start, coins, 5, False, True)
    walked._fit(Private(1))
    assert float((walked.w - start).norm()) == pytest.approx(clip / NOMINAL, rel=1e-4)


def test_work_counts_the_batches_that_are_trained_on():
    plain = client(DpSgd(1.0, 1.0, NOMINAL), Sgd(0.1))
    halves = client(DpSgd(1.0, 1.0, NOMINAL // 2), Sgd(0.1))
    assert forward(plain) == forward(halves) == 4 * NOMINAL * plain.model.operations(plain.x[:1])


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_batch_may_be_empty(model: str):
    module = build(model, (1, 8, 8), C, "softmax", 0, "test")
    view = model_of(module, [torch.ones(2, 1, 8, 8)])
    coins = torch.full((2,), 0.5, requires_grad=True)
    empty = Batch(view.taken(torch.ones(0, 1, 8, 8)), torch.zeros(0).long(), torch.zeros(0).long(), label_loss)
    vector = view.flatten(module.state_dict())
    g, gradient = view.gradient(vector, replace(empty, coins=coins, members=3.0), keep=True)
    through, by_coins = gradient.product(torch.ones_like(vector))
    assert not g.any() and not through.any() and (by_coins is None or not by_coins.any())


@pytest.mark.parametrize("protocol", ["mutual", "ds-fl"])
@pytest.mark.parametrize("sampling", ["poisson", "partition"])
def test_a_replay_with_the_truth_is_the_client(protocol: str, sampling: str, followed: Callable[..., Any]):
    defense = {"name": "dp-sgd", "sigma": 0.7, "options": {"sampling": sampling}}
    made = followed(protocol=protocol, clients=2, defense=defense)
    told = joint_predictions._told(made.view, made.knowledge)[1]
    known = situation(made.view, made.knowledge, 1, told)
    made.assert_replayed(known, told, 1)


def test_folds_of_their_own_are_replayed_each_with_its_own_steps(followed: Callable[..., Any]):
    defense = {"name": "dp-sgd", "sigma": 0.7}
    made = followed(clients=2, data={"candidates": 41, "schedule": "fresh"}, defense=defense)
    told = joint_predictions._told(made.view, made.knowledge)[0]
    known = situation(made.view, made.knowledge, 0, told)
    assert known.client.private is not None and len(known.client.private.nominal) == 3
    made.assert_replayed(known, told, 0)


def test_its_coins_are_found_where_the_noise_is_small_and_no_others(followed: Callable[..., Any]):
    made = followed(clients=2, training={"local_epochs": 12}, defense={"name": "dp-sgd", "sigma": 0.05})
    observed = JointPredictions().observe(made.view, made.knowledge)
    assert made.mean_auc(observed) > 0.65
    draw = np.random.default_rng(0)
    again = [made.mean_auc(observed, draw.random(len(made.coins)) < 0.5) for _ in range(200)]
    assert np.mean(again) == pytest.approx(0.5, abs=0.03)


def test_planted_candidates_are_replayed_with_noise(followed: Callable[..., Any]):
    made = followed(planted=True, clients=2, defense={"name": "dp-sgd", "sigma": 0.3})
    observed = JointProbes().observe(made.view, made.knowledge)
    assert observed.simulated_logp is not None and observed.scores is not None
    assert np.isfinite(observed.scores[0, 0, made.owner == 0]).all()


def test_the_head_alone_is_not_played(followed: Callable[..., Any]):
    made = followed(clients=2, defense={"name": "dp-sgd", "sigma": 0.3, "options": {"layers": "head"}})
    with pytest.raises(ValueError, match="DP-SGD of all layers"):
        JointPredictions().observe(made.view, made.knowledge)
