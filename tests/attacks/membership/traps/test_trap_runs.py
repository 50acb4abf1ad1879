"""Traps end to end: every protocol that trains what it is sent, null runs, and an honest run that stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprivacy.adversary.threat import Adversary, Float, view_of
from fedprivacy.attacks.membership.observations.traps import ASKED, AWAY, FORGED, HONEST, QUESTIONS, USUAL, Traps
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.dishonest import alternative_rounds, state_after
from fedprivacy.federation.interfaces import prepared
from fedprivacy.federation.knowledge import Knowledge, Observed
from fedprivacy.metrics.roc import auc
from fedprivacy.reporting.brief import brief
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.study.membership.measured import DONE
from fedprivacy.study.observe import known_candidates
from fedprivacy.study.ran import Ran, common_start
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute
from fedprivacy.study.traps import lay_traps, remove_traps
from fedprivacy.wire.codec import same_bits
from fedprivacy.wire.transcript import MemoryStore

DISHONEST = Adversary("server", "active")


def asks(protocol: str) -> bool:
    """Whether a dishonest server can lay traps under the defaults of a protocol."""
    config = RunConfig(protocol=protocol, attack=AttackConfig(attacks=("membership",), adversaries=("active-server",)))
    try:
        return "traps" in {name for _, name in resolve(config).seats.observations}
    except UsageError:
        return False


TRAINING = [name for name in CARDS if asks(name)]

OPTIONS: dict[str, dict[str, Any]] = {"feddf": {"steps": 20}}
ROUNDS = {"fedasync": 6, "fedbuff": 6, "layerwise-async": 5}
"""So many that clients at their own speed, and layers that travel in turn, come back at all."""


@pytest.fixture
def digits(small_config: Callable[..., Any]) -> Callable[..., Any]:
    """Small federations on digits of 28x28 pixels: enough inputs that a row can tell one record from all others.

    By plain SGD unless told otherwise: in so few steps the moments of Adam are still those of its first ones.
    """

    def make(**changes: Any) -> Any:
        data = {"dataset": "mnist5k", **changes.pop("data", {})}
        training = {"optimizer": "sgd", "lr": 0.1, "local_epochs": 2, **changes.pop("training", {})}
        return small_config(**{"protocol": "fedavg", "rounds": 3, **changes}, data=data, training=training)

    return make


def observed(config: Any, where: Path) -> tuple[Observed, Any]:
    study = resolve(config)
    env, played = study.environment(0)
    defense = study.defense(env)
    done = engine.run(study.protocol, env, where, defense)
    knowledge = Knowledge(
        config.attack,
        1,
        env.dataset,
        played.candidates,
        played.division.auxiliary,
        env.workbench,
        common_start(study.protocol, env),
        known_candidates(config.attack.known_share, played.division, 0),
        wire=study.wire,
    )
    told = lay_traps(Ran(study, 0, False, played, env, defense, done, where), DISHONEST, knowledge)
    return Traps().observe(view_of(told, DISHONEST), knowledge), played


def own_scores(found: Observed, played: Any) -> Float:
    """Each candidate's score at its owner, or in the sum."""
    assert found.scores is not None
    scores = np.where(np.isnan(found.scores).all(axis=1), np.nan, np.nansum(found.scores, axis=1))
    return np.asarray(scores[played.owners if len(scores) > 1 else 0, np.arange(scores.shape[1])])


def area(found: Observed, played: Any) -> float:
    scores, coins = own_scores(found, played), played.flat_coins
    known = ~np.isnan(scores)
    return auc(scores[known & coins], scores[known & ~coins])


def test_the_protocols_that_train_what_they_are_sent() -> None:
    assert {"fedavg", "fedprox", "fedasync", "fedbuff", "feddf", "fedckd", "fml", "fedkd", "layerwise-async"} <= set(
        TRAINING
    )
    assert not {"mutual", "fedmd", "fedproto", "profe", "local"} & set(TRAINING)


@pytest.mark.parametrize("protocol", TRAINING)
def test_every_candidate_is_asked_and_members_stand_out(
    protocol: str, digits: Callable[..., Any], tmp_path: Path
) -> None:
    options, rounds = OPTIONS.get(protocol, {}), ROUNDS.get(protocol, 3)
    found, played = observed(digits(protocol=protocol, options=options, rounds=rounds), tmp_path)
    scores = own_scores(found, played)
    assert np.isnan(scores).sum() <= 2, "a digit with a near copy is no question"
    assert area(found, played) > 0.98
    others = np.asarray(found.scores)[(played.owners + 1) % 3, 0, np.arange(len(scores))]
    coins = played.flat_coins & ~np.isnan(others)
    assert abs(auc(others[coins], others[~played.flat_coins & ~np.isnan(others)]) - 0.5) < 0.15
    assert any("asked about" in note for note in found.notes)
    assert found.measured[FORGED] < found.measured[HONEST] and found.measured[AWAY] > 10 * found.measured[USUAL]


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"options": {"weighting": "uniform"}, "defense": {"name": "secure-aggregation"}}, 0.95),
        ({"training": {"optimizer": "adam", "lr": 1e-3, "local_epochs": 6}, "rounds": 4}, 0.98),
        ({"participation": 0.67, "rounds": 4}, 0.97),
        ({"data": {"schedule": "fresh"}, "rounds": 4}, 0.9),
        ({"attack": {"known_share": 0.5}}, 0.97),
        ({"attack": {"planted_share": 0.1}}, 0.95),
        ({"training": {"model": "cnn", "local_epochs": 2}, "data": {"candidates": 40}, "clients": 2}, 0.9),
    ],
    ids=["sum", "adam", "some take part", "fresh folds", "half known", "few rows", "convolutions"],
)
def test_it_runs_through_defenses_and_settings_as_they_are(
    settings: dict[str, Any], least: float, digits: Callable[..., Any], tmp_path: Path
) -> None:
    found, played = observed(digits(**settings), tmp_path)
    assert area(found, played) > least
    if "known_share" in settings.get("attack", {}):
        assert np.isnan(own_scores(found, played)).sum() == 90
    if settings.get("attack", {}).get("planted_share"):
        assert np.asarray(found.scores).shape == (3, 1, 180)


def test_training_that_cannot_learn_tells_nothing(digits: Callable[..., Any], tmp_path: Path) -> None:
    """The steps are below the rounding of every weight, so that members and non-members are the same bits."""
    areas = []
    for number, change in enumerate(({}, {"data": {"partition": "dirichlet", "alpha": 0.1}})):
        config = digits(training={"lr": 1e-12, "local_epochs": 1}, **change)
        areas.append(area(*observed(config, tmp_path / str(number))))
    assert all(abs(one - 0.5) < 0.13 for one in areas), areas


def test_an_alternative_without_a_forgery_is_the_honest_run(digits: Callable[..., Any], tmp_path: Path) -> None:
    config = digits(protocol="fedbuff", rounds=4)
    env, _ = resolve(config).environment(0)
    protocol = resolve(config).protocol
    done = engine.run(protocol, env, tmp_path)
    for before in (0, 2):
        state = state_after(protocol, prepared(env, None), tmp_path, before, None)
        again = alternative_rounds(protocol, env, state, 4, lambda payload, _: payload, MemoryStore(), None)
        honest = [message for message in done.transcript.messages if message.round > before]
        assert again.messages and list(again.messages) == honest[-len(again.messages) :]
    last = state_after(protocol, env, tmp_path, 4, None)
    assert all(same_bits(part, last.parts[name]) for name, part in done.state.parts.items())


def test_a_run_prints_damage_and_leaves_the_honest_run_as_it_was(digits: Callable[..., Any], tmp_path: Path) -> None:
    def ran(adversary: str) -> Any:
        attack = {"attacks": ("membership",), "adversaries": (adversary,), "statistics": ("joint",)}
        return execute(digits(attack=attack, rounds=2), Plan(tmp_path / adversary, baselines=False))

    attacked, honest = ran("active-server"), ran("server")
    assert attacked.utility == honest.utility and attacked.communication == honest.communication
    logs = [(tmp_path / name / "transcript" / "contents.bin").read_bytes() for name in ("active-server", "server")]
    assert logs[0] == logs[1] and not (tmp_path / "active-server" / "traps").exists()
    head = [f for f in attacked.findings if f.headline and f.metric == "AUC" and f.target == "all clients"]
    assert [f.statistic for f in head] == ["joint"] and head[0].observation == "traps" and (head[0].value or 0) > 0.98
    told = {f.metric: f for f in attacked.findings if f.statistic == DONE}
    assert set(told) == {ASKED, QUESTIONS, FORGED, HONEST, AWAY, USUAL} and not any(f.headline for f in told.values())
    assert told[ASKED].value == 180 and (told[QUESTIONS].value or 0) >= 1
    assert 0 <= (told[FORGED].value or 0) < (told[HONEST].value or 0) <= 1 < (told[AWAY].value or 0)
    shown = document_to_markdown(brief(attacked))
    assert FORGED in shown and AWAY in shown
    remove_traps(tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"protocol": "fedavg", "rounds": 1}, "use --rounds 2 or more"),
        ({"protocol": "fedproto"}, "train no model that the server made"),
        ({"protocol": "fedavg", "attack": {"adversaries": ("active-client-0",)}}, "no active attack of a client"),
    ],
)
def test_where_none_can_be_laid_is_told_before_training(
    settings: dict[str, Any], words: str, small_config: Callable[..., Any]
) -> None:
    attack = {"attacks": ("membership",), "adversaries": ("active-server",), **settings.pop("attack", {})}
    with pytest.raises(UsageError, match=words):
        resolve(small_config(**settings, attack=attack))


def test_a_model_without_room_is_told_before_training(digits: Callable[..., Any], tmp_path: Path) -> None:
    attack = {"attacks": ("membership",), "adversaries": ("active-server",)}
    with pytest.raises(UsageError, match=r"model lenet-sigmoid: traps need a dense layer .* or --adversary server"):
        execute(digits(attack=attack, training={"model": "lenet-sigmoid"}), Plan(tmp_path, baselines=False))
    assert not list(tmp_path.iterdir())
