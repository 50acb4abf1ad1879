"""Coins of whole clients under known noise: against conditioning by hand, the noise off, and the distance claimed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy import seeds
from fedprivacy.adversary.threat import Adversary, view_of
from fedprivacy.attacks.membership.joint.changes import Change
from fedprivacy.attacks.membership.joint.coins import CoinUpdates, Equations
from fedprivacy.attacks.membership.observations.coin_answers import CoinAnswers
from fedprivacy.config.run import RunConfig
from fedprivacy.data.coins import units
from fedprivacy.federation import engine
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.study.observe import given_starts, known_candidates, rules
from fedprivacy.study.resolve import resolve

CLIENTS = 12


def settings(defense: dict[str, Any], **other: Any) -> RunConfig:
    content = {
        "protocol": "fedavg",
        "options": {"weighting": "uniform"},
        "clients": CLIENTS,
        "rounds": 2,
        "data": {"dataset": "digits", "candidates": 10, "public_size": 0, "auxiliary": 0},
        "training": {"model": "mlp-small", "optimizer": "sgd", "lr": 0.1, "local_epochs": 1},
        "canaries": {"kind": "opposite", "coins": "client"},
        "defense": defense,
        **other,
    }
    return RunConfig.model_validate(content)


ANSWERS: dict[str, Any] = {
    "protocol": "mutual",
    "options": {"public_epochs": 1},
    "data": {"dataset": "digits", "candidates": 10, "public_size": 20, "auxiliary": 0},
    "training": {"model": "mlp-small", "optimizer": "sgd", "lr": 0.1, "local_epochs": 40},
}
ALONE: dict[str, Any] = {
    **ANSWERS,
    "data": {**ANSWERS["data"], "candidates": 1},
    "canaries": {"kind": "orthogonal"},
}


def odds(config: RunConfig, where: Path, adversary: str = "server") -> tuple[Any, Any, str]:
    """Log-odds [clients] of the coins, NaN where none is told, the coins, and the assumptions."""
    study = resolve(config)
    env, game = study.environment(0)
    done = engine.run(study.protocol, env, where, study.defense(env))
    observation = CoinUpdates() if config.protocol == "fedavg" else CoinAnswers()
    follows = isinstance(observation, CoinAnswers)
    pools = [game.division.pool(client) for client in range(config.clients)]
    knowledge = Knowledge(
        study.attack,
        seeds.value(0, "adversary"),
        env.dataset,
        np.concatenate(pools),
        game.division.auxiliary,
        env.workbench.with_training(config.training),
        rules=rules(study, env, game.division, initial=not follows),
        starts=given_starts(env) if follows else None,
        known=known_candidates(study.attack.known_share, game.division, 0),
        wire=study.wire,
    )
    found = observation.observe(view_of([done.transcript], Adversary(adversary)), knowledge)
    assert found.scores is not None
    scores = np.nansum(found.scores, axis=(0, 1))
    scores[np.isnan(found.scores).all(axis=(0, 1))] = np.nan
    sides = [side for _, side in units(game.division, config.canaries.coins)]
    ends = np.cumsum([0, *map(len, pools)])
    told = np.array([float(np.mean(scores[ends[k] : ends[k + 1]] * sides[k])) for k in range(config.clients)])
    # One value for all records of a side, and its opposite for the other side.
    for k in range(config.clients):
        assert np.allclose(scores[ends[k] : ends[k + 1]], told[k] * sides[k], equal_nan=True)
    coins = np.array([bool(game.coins[k][0]) == (sides[k][0] == 1) for k in range(config.clients)])
    return told, coins, found.notes[0]


OFF = {"name": "dp-fedavg", "sigma": 0.0, "options": {"clip": 0.01}}
SUM = {"name": "dp-fedavg", "sigma": 0.0, "options": {"clip": 0.01, "placement": "aggregator"}}
QUIET = {"name": "gaussian", "sigma": 0.0, "options": {"clip": 0.1, "project": False, "unit": "client"}}
LAPLACE = {"name": "laplace", "sigma": 0.0, "options": {"clip": 0.1, "project": False, "unit": "client"}}


@pytest.mark.parametrize(
    ("defense", "other", "adversary"),
    [
        (OFF, {}, "server"),
        (SUM, {}, "client-0"),
        (QUIET, ANSWERS, "server"),
        (LAPLACE, ANSWERS, "server"),
        ({**QUIET, "options": {"clip": 0.1, "project": False}}, ALONE, "server"),
    ],
)
def test_without_noise_every_coin_is_told(tmp_path: Path, defense, other, adversary) -> None:
    told, coins, _ = odds(settings(defense, **other), tmp_path, adversary)
    seen = np.isfinite(told)
    assert seen.sum() == CLIENTS - (adversary != "server")
    assert ((told > 0) == coins)[seen].all() and np.abs(told[seen]).min() > 10


@pytest.mark.parametrize(("defense", "other"), [(OFF, {}), (QUIET, ANSWERS)])
def test_two_clipped_halves_are_as_far_apart_as_the_claim_says(tmp_path: Path, defense, other) -> None:
    """Over R rounds a coin moves what is sent by 2 bounds a round, so its log-odds are N(+-mu^2 / 2, mu^2)."""
    noise = 3.0
    loud = {**defense, "sigma": noise}
    config = settings(loud, **other)
    told = np.concatenate(
        [np.where(coins, one, -one) for one, coins, _ in (odds(seeded(config, s), tmp_path / str(s)) for s in range(6))]
    )
    mu = np.sqrt(config.rounds) / noise
    assert np.mean(told) == pytest.approx(mu**2 / 2, abs=4 * mu / np.sqrt(len(told)))
    assert np.std(told) == pytest.approx(mu, rel=0.3)


def seeded(config: RunConfig, seed: int) -> RunConfig:
    """The same with noise of its own: the games have named seeds."""
    options = {**config.defense.options, "clip": config.defense.options["clip"] * (1 + seed * 1e-6)}
    return config.model_copy(update={"defense": config.defense.model_copy(update={"options": options})})


def test_coins_of_a_mean_are_those_of_a_normal_posterior() -> None:
    """Against conditioning a joint normal of coins and answers, written out in numpy."""
    rng = np.random.default_rng(0)
    ends = rng.normal(size=(2, 4, 30))
    coins, deviation = np.array([0.5, -0.5, -0.5, 0.5]), 0.3
    mean = (ends.sum(axis=0) / 2 + coins[:, None] * (ends[0] - ends[1])).mean(axis=0)
    answer = mean + deviation * rng.normal(size=30)
    design = (ends[0] - ends[1]).T / 4
    gain = 0.25 * design.T @ np.linalg.inv(0.25 * design @ design.T + deviation**2 * np.eye(30))
    expected = gain @ (answer - ends.sum(axis=0).mean(axis=0) / 2)
    variance = np.diag(0.25 * np.eye(4) - gain @ design * 0.25)
    change = Change(1, (0, 1, 2, 3), {}, {"w": torch.zeros(30, dtype=torch.float64)}, {"w": torch.from_numpy(answer)})
    found = Equations(4)
    found.add(change, tuple({k: torch.from_numpy(side[k]) for k in range(4)} for side in ends), deviation)
    assert found.log_odds() == pytest.approx(expected / variance, rel=1e-9)
    assert found.together


def test_defenses_weigh_answers_by_the_law_of_their_noise() -> None:
    from torch.distributions import Laplace as LaplaceLaw
    from torch.distributions import Normal

    from fedprivacy.defenses.clip import Clip
    from fedprivacy.defenses.gaussian import Gaussian
    from fedprivacy.defenses.laplace import Laplace

    sent, one, other = torch.randn(3, 7, 4, generator=seeds.generator(0, "answers"), dtype=torch.float64)
    clip = Clip("probabilities", 0.25, 0.6, False)
    gaussian, laplace = Gaussian(0, clip, 1.3, "record"), Laplace(0, clip, 2.0, "record")
    for defense, law in ((gaussian, Normal(0, gaussian.deviation)), (laplace, LaplaceLaw(0, laplace.scale))):
        expected = (law.log_prob(sent - one) - law.log_prob(sent - other)).sum()
        assert defense.log_ratio(sent, one, other) == pytest.approx(float(expected))


@pytest.mark.parametrize("less", [{"known_share": 0.5}, {"owners": "unknown"}])
@pytest.mark.parametrize(("defense", "other"), [(OFF, {}), (QUIET, ANSWERS)])
def test_whoever_lacks_a_record_or_its_owner_reads_no_coin(tmp_path: Path, defense, other, less) -> None:
    config = settings(defense, attack=less, **{**other, "rounds": 1})
    with pytest.raises(ValueError, match="leave --known-share at 1 and --owners at known"):
        odds(config, tmp_path)


def test_a_start_that_clients_drew_is_not_said_to_be_known(tmp_path: Path) -> None:
    short = {**ANSWERS, "rounds": 1, "clients": 3}
    for init, known in (("shared", True), ("independent", False)):
        training = {**ANSWERS["training"], "init": init, "local_epochs": 1}
        one = settings(QUIET, **{**short, "training": training}).model_copy(update={"clients": 3})
        _, _, said = odds(one, tmp_path / init)
        assert ("the start of each round" in said) == known != ("others drawn the same way" in said)


def test_it_is_made_of_games_with_one_coin_a_client_alone(tmp_path: Path) -> None:
    config = settings(OFF, canaries={"coins": "record", "kind": "orthogonal"})
    assert "coin-updates" not in [name for _, name in resolve(with_attack(config)).seats.observations]
    names = [name for _, name in resolve(with_attack(settings(OFF))).seats.observations]
    assert names[0] == "coin-updates"
    names = [name for _, name in resolve(with_attack(settings(QUIET, **ANSWERS))).seats.observations]
    assert names[0] == "coin-answers"


def with_attack(config: RunConfig) -> RunConfig:
    attack = config.attack.model_copy(update={"attacks": ("membership",), "adversaries": ("server",)})
    return config.model_copy(update={"attack": attack})
