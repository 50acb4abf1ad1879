"""What an adversary could not compute is written with its cause, and ends no run that is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.attacks.membership.joint.updates import JointUpdates
from fedprivacy.attacks.membership.observations.joint_predictions import JointPredictions
from fedprivacy.config.base import UsageError
from fedprivacy.federation import engine
from fedprivacy.folder import Damaged
from fedprivacy.study.attempt import attempt
from fedprivacy.study.observe import load_observed, observe_all, observed_path, rules
from fedprivacy.study.ran import Ran
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute
from fedprivacy.training.learner import Diverged


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Diverged("training diverged: client-1, round 2"), "in what the adversary played, training diverged: client-1"),
        (torch.linalg.LinAlgError("the input matrix is singular"), "the input matrix is singular"),
        (FloatingPointError(), "FloatingPointError"),
        (
            RuntimeError("a shape\n  does not fit."),
            "not foreseen: RuntimeError: a shape does not fit (study/observe.py:",
        ),
        (
            NotImplementedError("no rule for gru"),
            "not foreseen: NotImplementedError: no rule for gru (study/observe.py:",
        ),
    ],
)
def test_a_failed_observation_tells_its_cause(
    error: Exception,
    told: str,
    small_config: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = small_config(attack={"attacks": ("membership",), "observations": ("joint-predictions",)})
    study = resolve(config)
    env, played = study.environment(config.seed)
    defense = study.defense(env)
    done = engine.run(study.protocol, env, tmp_path, defense)

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(JointPredictions, "observe", fails)
    observe_all(Ran(study, config.seed, False, played, env, defense, done, tmp_path))
    for adversary, name in study.seats.observations:
        found = load_observed(observed_path(tmp_path, adversary, name))
        assert isinstance(found, str) and found.startswith(told)


def test_an_active_server_reads_what_a_passive_one_reads_of_the_honest_run(
    small_config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last digit, and looked at once."""
    asked = {"attacks": ("membership",), "adversaries": ("active-server", "server"), "observations": ("joint-updates",)}
    study = resolve(small_config(protocol="fedkd-hybrid", rounds=2, attack=asked))
    assert [adversary.name for adversary, _ in study.seats.observations] == ["active-server", "server"]
    env, played = study.environment(study.config.seed)
    done = engine.run(study.protocol, env, tmp_path, None)
    looks = []
    observe = JointUpdates.observe
    monkeypatch.setattr(JointUpdates, "observe", lambda *given: looks.append(given) or observe(*given))
    observe_all(Ran(study, study.config.seed, False, played, env, None, done, tmp_path))
    active, passive = (load_observed(observed_path(tmp_path, *pair)) for pair in study.seats.observations)
    assert not isinstance(active, str) and not isinstance(passive, str) and len(looks) == 1
    assert active.scores is not None and np.isfinite(active.scores).any()
    np.testing.assert_array_equal(active.scores, passive.scores)


@pytest.mark.parametrize(
    "error",
    [
        UsageError("a setting"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
        RecursionError("maximum recursion depth exceeded"),
        OSError("no space is left"),
        Damaged("a stored file"),
        TypeError("a mistake in the code"),
        KeyError("a mistake in the code"),
    ],
)
def test_what_is_no_result_ends_the_run_and_is_not_kept(error: Exception, tmp_path: Path) -> None:
    path = tmp_path / "found.safetensors"
    with pytest.raises(type(error)), attempt(path):
        raise error
    assert not path.exists()


def test_a_verdict_names_what_its_headline_was_read_from(small_config: Callable[..., Any], tmp_path: Path) -> None:
    """Weights, where clients send predictions too and send them first."""
    asked = {"attacks": ("membership",), "adversaries": ("server",), "observations": ("uploaded-weights",)}
    config = small_config(protocol="fedkd-hybrid", rounds=1, attack=asked)
    claims = [one.claim for one in execute(config, Plan(tmp_path, baselines=False)).verdicts]
    assert any(claim.startswith("Sharing weights does not tell the server") for claim in claims)
    assert not any(claim.startswith("Sharing predictions") for claim in claims)


@pytest.mark.parametrize("seed", range(4))
def test_who_plays_a_defense_knows_the_noise_of_the_claim(seed: int, small_config: Callable[..., Any]) -> None:
    """Seeds of one's own would draw other participants, and noise calibrated to their number of releases."""
    few = {"clients": 5, "rounds": 12, "participation": 0.4, "seed": seed}
    study = resolve(small_config(**few, defense={"name": "gaussian", "epsilon": 8.0}))
    env, _ = study.environment(seed)
    known = rules(study, env, env.division, initial=False)
    real, played = study.defense(env), known.defense(replace(env, root=seed + 100))
    assert played.noise_multiplier == real.noise_multiplier  # type: ignore[union-attr]
    assert played.root != real.root  # type: ignore[union-attr]
