"""Clients that augment their records and stop early: their replays are the clients, and relaxed runs do as they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy import seeds
from fedprivacy.attacks.membership.joint.updates import JointUpdates
from fedprivacy.attacks.membership.observations import joint_predictions
from fedprivacy.attacks.membership.observations.joint_predictions import JointPredictions
from fedprivacy.attacks.membership.unrolled.adjoint import derivatives
from fedprivacy.attacks.membership.unrolled.client import Client
from fedprivacy.attacks.membership.unrolled.optimisers import Adam
from fedprivacy.attacks.membership.unrolled.situation import STOPPED, Situation, situation
from fedprivacy.attacks.membership.unrolled.two_layers import TwoLayers, model_of
from fedprivacy.config.run import TrainingConfig
from fedprivacy.federation.course import Answer, Private
from fedprivacy.models.mlp import Mlp
from fedprivacy.training.learner import Records
from tests.attacks.membership.unrolled.conftest import seeds_of

Followed = Callable[..., Any]
REGULARISED: list[dict[str, Any]] = [
    {"training": {"augmentation": ("shift",)}},
    {"training": {"early_stopping": 1, "local_epochs": 9}, "data": {"validation": 0.2}},
]


def known_of(made: Any, client: int) -> tuple[Situation, Any]:
    told = joint_predictions._told(made.view, made.knowledge)[client]
    return situation(made.view, made.knowledge, client, told), told


def own_members(made: Any, known: Situation, client: int) -> Records:
    (fold,), coins = known.private, made.coins[made.owner == client]
    return Records(fold.x[coins], fold.y[coins])


@pytest.mark.parametrize("how", REGULARISED, ids=str)
def test_a_replay_with_the_truth_is_the_client(how: dict[str, Any], followed: Followed):
    made = followed(clients=2, **how)
    known, told = known_of(made, 1)
    made.assert_replayed(known, told, 1)


def test_the_passes_that_count_are_those_up_to_the_best(followed: Followed):
    made = followed(clients=2, **REGULARISED[1])
    known, _ = known_of(made, 1)
    members = [own_members(made, known, 1)]
    passes = known.replay.passes(members, seeds_of(0, 1))
    assert set(passes) == {1, 2, 3} and all(1 <= number <= 9 for number in passes.values())
    assert min(passes.values()) < 9
    # Training for exactly these passes in round 1 is training that stopped.
    replay = known.replay
    bench = replay.bench.with_training(replay.bench.config.model_copy(update={"local_epochs": passes[1]}))
    again = type(replay)(bench, replay.architecture, replay.start, replay.events)
    first = {1: known.asked[1]}
    torch.testing.assert_close(
        again.answers(members, first, seeds_of(0, 1))[1], replay.answers(members, first, seeds_of(0, 1))[1]
    )


def test_a_fold_that_holds_nothing_back_is_trained_for_all_passes(followed: Followed):
    made = followed(clients=2, **REGULARISED[1])
    known, _ = known_of(made, 1)
    members, (held_out,) = own_members(made, known, 1), known.replay.held_out
    none = Records(held_out.x[:0], held_out.y[:0])
    folds = replace(known.replay, held_out=(none, held_out))
    passes = folds.passes([members, members], seeds_of(0, 1))
    assert passes[1] == 9 and min(passes[2], passes[3]) < 9


def test_that_the_validation_records_are_known_is_told(followed: Followed):
    made = followed(clients=2, **REGULARISED[1])
    assert STOPPED in JointPredictions().observe(made.view, made.knowledge).notes
    weights = followed(protocol="fedavg", clients=2, **REGULARISED[1])
    assert STOPPED in JointUpdates().observe(weights.view, weights.knowledge).notes


def test_the_derivative_is_that_of_finite_differences_under_shifts():
    draw, coins = seeds.generator(1, "records"), torch.linspace(0.1, 0.9, 10, dtype=torch.float64)
    x, y = torch.rand(10, 1, 8, 8, generator=draw), torch.randint(0, 3, (10,), generator=draw)
    model = model_of(Mlp((1, 8, 8), 3).double(), [torch.ones(1, 1, 8, 8)])
    assert isinstance(model, TwoLayers)
    training = TrainingConfig(batch_size=3, local_epochs=2, augmentation=("shift", "flip"))
    optimiser = Adam(0.05, 1e-3, adjoint_eps=0)
    events = [Private(1), Answer(1), Private(2), Answer(2)]
    one = Client(model, optimiser, training, x, y, [torch.arange(10)], {1: x[:4], 2: x[:4]}, events, 0.5, passes={2: 1})
    with seeds.torch_scope(2, "start"):
        start = model.flatten({n: torch.randn_like(p) / 4 for n, p in model.module.state_dict().items()})
    weights = {t: torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3) ** t for t in (1, 2)}
    assert one.steps(events[2]) * 2 == one.steps(events[0])

    def value(at: torch.Tensor) -> float:
        done = one.forward(start, at, 5, keep=False)
        return sum(float((weights[t] * z).sum()) for t, z in done.answers.items())

    by_coins, _ = derivatives(one.forward(start, coins, 5), optimiser, start, weights)
    for i in range(10):
        bump = torch.zeros_like(coins)
        bump[i] = 1e-6
        slope = (value(coins + bump) - value(coins - bump)) / 2e-6
        assert float(by_coins[i]) == pytest.approx(slope, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("how", REGULARISED, ids=str)
def test_coins_are_found_and_no_others(how: dict[str, Any], followed: Followed):
    made = followed(clients=2, **how)
    observed = JointPredictions().observe(made.view, made.knowledge)
    assert made.mean_auc(observed) > 0.56
    draw = np.random.default_rng(0)
    again = [made.mean_auc(observed, draw.random(len(made.coins)) < 0.5) for _ in range(200)]
    assert np.mean(again) == pytest.approx(0.5, abs=0.03)
