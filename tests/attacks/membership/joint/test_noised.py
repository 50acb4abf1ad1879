"""The exact reading of noised steps: against conditioning by hand, a planted leak, a null, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy import seeds
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.joint.gradients import Gradients
from fedprivacy.attacks.membership.joint.layers import Rows
from fedprivacy.attacks.membership.joint.noised import NoisedUpdates, Normal, Seen, clipping, drowned, private_fit
from fedprivacy.attacks.membership.joint.response import Response
from fedprivacy.attacks.membership.joint.simulate import Columns
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.metrics.roc import auc
from fedprivacy.study.observe import rules
from fedprivacy.study.resolve import resolve


def settings(**training: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "protocol": "fedavg",
            "options": {"weighting": "uniform"},
            "clients": 2,
            "rounds": 4,
            "data": {"dataset": "digits", "candidates": 60, "public_size": 4, "auxiliary": 10},
            "training": {"model": "mlp-small", "optimizer": "sgd", "lr": 0.1, "local_epochs": 1, **training},
            "canaries": {"kind": "orthogonal"},
            "defense": {"name": "dp-sgd", "sigma": 1.0, "options": {"batch_size": 60}},
        }
    )


def played(config: RunConfig, where: Path, told: RunConfig | None = None) -> tuple[np.ndarray[Any, Any], Any]:
    """Scores [clients, n] of what a server received, and who plays; ``told``: settings that the server believes."""
    env, game = resolve(config).environment(0)
    protocol = resolve(config).protocol
    done = engine.run(protocol, env, where, resolve(config).defense(env))
    pools = np.concatenate([game.division.pool(client) for client in range(config.clients)])
    believed = told or config
    knowledge = Knowledge(
        believed.attack,
        seeds.value(0, "adversary"),
        env.dataset,
        pools,
        game.division.auxiliary,
        env.workbench.with_training(config.training),
        rules=rules(resolve(believed), env, game.division),
        wire=resolve(believed).wire,
    )
    found = NoisedUpdates().observe(view_of([done.transcript], Adversary("server")), knowledge)
    assert found.scores is not None
    return found.scores[:, 0], game


def test_without_owners_every_candidate_is_asked_of_every_client(tmp_path: Path) -> None:
    config = settings().model_copy(update={"rounds": 1})
    told = config.model_copy(update={"attack": config.attack.model_copy(update={"owners": "unknown"})})
    scores, game = played(config, tmp_path, told)
    assert np.isfinite(scores).all()
    assert all((scores[client, game.owners != client] != 0).any() for client in range(2))


def areas(scores: np.ndarray[Any, Any], game: Any, coins: np.ndarray[Any, Any]) -> float:
    """Mean AUC over the clients."""
    found = []
    for client in range(2):
        own = game.owners == client
        assert np.isnan(scores[client, ~own]).all() and np.isfinite(scores[client, own]).all()
        found.append(auc(scores[client, own & coins], scores[client, own & ~coins]))
    return float(np.mean(found))


def test_log_odds_are_those_of_a_normal_posterior() -> None:
    """Against conditioning a joint normal of coins and answers, written out in numpy."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(30, 6))
    prior, noise = np.full(6, 0.5), 1.7
    answer = design @ (rng.random(6) < 0.5) + noise * rng.normal(size=30)
    covariance = design @ design.T * 0.25 + noise**2 * np.eye(30)
    gain = 0.25 * design.T @ np.linalg.inv(covariance)
    mean = gain @ (answer - design @ prior)
    variance = np.diag(0.25 * np.eye(6) - gain @ design * 0.25)
    columns = Columns(np.arange(6), np.arange(6), prior, np.zeros(6, dtype=np.int64))
    gram, sides = design.T @ design / noise**2, design.T @ answer / noise**2
    found = Normal(columns, torch.from_numpy(gram), torch.from_numpy(sides)).log_odds()
    assert np.allclose(found, mean / variance)


def test_clipping_by_the_gram_matrix_is_clipping_each_gradient() -> None:
    rows = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    class Whole:
        def gram(self) -> torch.Tensor:
            return rows @ rows.T

    factors = clipping(Whole(), 2.0)  # type: ignore[arg-type]
    each = rows * (2.0 / rows.norm(dim=1)).clamp(max=1.0)[:, None]
    assert torch.allclose(factors[:, None] * rows, each)


def test_rounds_that_share_noise_add_up_to_generalised_least_squares() -> None:
    draw = torch.Generator().manual_seed(3)
    rows = torch.randn(3, 6, 9, generator=draw, dtype=torch.float64)
    moved = torch.randn(3, 9, generator=draw, dtype=torch.float64)
    gain = torch.tensor([[2.0, 0, 0], [0.7, 1.5, 0], [0.2, 0.6, 1.0]], dtype=torch.float64)
    root = torch.tensor([[1.0, 0, 0], [0.8, 0.9, 0], [0.3, 0.5, 1.1]], dtype=torch.float64)
    scale = torch.rand(3, 6, generator=draw, dtype=torch.float64)
    zeros = torch.zeros(6, 6, dtype=torch.float64)
    found = Normal(Columns(np.arange(6), np.arange(6), np.full(6, 0.5), np.zeros(6, np.int64)), zeros, zeros[0].clone())
    told = Response(gain, root @ root.T)
    for number in range(3):
        gradients = Gradients((Rows(rows[number], "w"),))
        found.add(Seen(number + 1, {"w": moved[number]}, gradients, scale[number]), told, 1)
    # All entries of all rounds as one regression: what a record adds to round r is its gain-weighted gradients.
    design = torch.einsum("rs,sn,snp->rpn", gain, scale, rows).reshape(27, 6)
    precision = torch.kron(torch.linalg.inv(root @ root.T).contiguous(), torch.eye(9, dtype=torch.float64))
    torch.testing.assert_close(found.gram, design.T @ precision @ design)
    torch.testing.assert_close(found.sides, design.T @ precision @ moved.flatten())


def test_it_reads_who_trained_under_little_noise_and_nothing_from_other_coins(tmp_path: Path) -> None:
    config = settings()
    scores, game = played(config, tmp_path)
    assert areas(scores, game, game.flat_coins) > 0.75
    redrawn = [
        areas(scores, game, np.random.default_rng(draw).random(len(game.flat_coins)) < 0.5) for draw in range(40)
    ]
    assert abs(np.mean(redrawn) - 0.5) < 0.04


def test_more_noise_hides_more_and_none_hides_nothing(tmp_path: Path) -> None:
    found = {}
    for sigma in (0.0, 8.0):
        config = settings()
        config = config.model_copy(update={"defense": config.defense.model_copy(update={"sigma": sigma})})
        scores, game = played(config, tmp_path / str(sigma))
        found[sigma] = areas(scores, game, game.flat_coins)
    assert found[0.0] > 0.98 and found[8.0] < 0.75


@pytest.mark.parametrize(
    ("training", "least"),
    [({"momentum": 0.5}, 0.85), ({"optimizer": "adam", "lr": 0.002, "model": "mlp"}, 0.8)],
    ids=str,
)
def test_other_optimisers_are_read_by_what_they_make_of_noise(
    training: dict[str, Any], least: float, tmp_path: Path
) -> None:
    config = settings(local_epochs=3, **training)
    scores, game = played(config, tmp_path)
    assert areas(scores, game, game.flat_coins) > least
    redrawn = [
        areas(scores, game, np.random.default_rng(draw).random(len(game.flat_coins)) < 0.5) for draw in range(40)
    ]
    assert abs(np.mean(redrawn) - 0.5) < 0.04


@pytest.mark.parametrize(
    ("training", "before"),
    [
        ({"momentum": 0.9, "lr": 0.03}, (0.90, 7.5)),
        ({"optimizer": "adam", "lr": 0.002, "model": "mlp"}, (0.90, 7.1)),
    ],
    ids=str,
)
def test_moments_that_go_on_are_not_taken_for_noise_of_its_own(
    training: dict[str, Any], before: tuple[float, float], tmp_path: Path
) -> None:
    """``before``: AUC and spread of log-odds of this run with rounds added as if each had noise of its own."""
    config = settings(local_epochs=2, optimizer_state="persistent", **training)
    scores, game = played(config, tmp_path)
    assert areas(scores, game, game.flat_coins) > before[0] + 0.02 and np.nanstd(scores) < before[1] / 2
    members, others = (scores[:, game.flat_coins == coin] for coin in (True, False))
    # Log-odds that mean what they say lie, in the mean over a normal posterior, half their variance from 0.
    apart = np.nanmean(members) - np.nanmean(others)
    within = (np.nanvar(members) + np.nanvar(others)) / 2
    assert apart / within == pytest.approx(1.0, abs=0.35)


def test_adam_without_noise_is_decoded_as_without_a_defense(tmp_path: Path) -> None:
    config = settings(optimizer="adam", lr=0.002, local_epochs=3)
    config = config.model_copy(update={"defense": config.defense.model_copy(update={"sigma": 0.0})})
    scores, game = played(config, tmp_path)
    assert areas(scores, game, game.flat_coins) > 0.9


def test_a_batch_is_no_larger_than_all_records(tmp_path: Path) -> None:
    """Noise as long as a batch of everybody drowns it, however large a batch was asked for."""
    defense = {"name": "dp-sgd", "sigma": 1.0, "options": {"batch_size": 10_000}}
    config = RunConfig.model_validate({**settings(optimizer="adam").model_dump(), "defense": defense})
    env, game = resolve(config).environment(0)
    told = rules(resolve(config), env, game.division)
    pools = np.concatenate([game.division.pool(client) for client in range(config.clients)])
    knowledge = Knowledge(
        config.attack,
        0,
        env.dataset,
        pools,
        game.division.auxiliary,
        env.workbench,
        rules=told,
        wire=resolve(config).wire,
    )
    own, fit = private_fit(knowledge, told)
    assert fit is not None and drowned(fit, knowledge, own)
    assert not drowned(replace(fit, noise_multiplier=0.1), knowledge, own)


def test_where_it_stands_and_where_not() -> None:
    attacked = {"attack": {"attacks": ["membership"], "adversaries": ["server"]}}
    for config, there in (
        (settings(), True),
        (settings(momentum=0.9), True),
        (settings(optimizer="adam"), True),
        (settings(weight_decay=0.1), False),
        (settings().model_copy(update={"defense": RunConfig().defense}), False),
    ):
        run = RunConfig.model_validate({**config.model_dump(), **attacked})
        assert ("noised-updates" in [name for _, name in resolve(run).seats.observations]) is there
