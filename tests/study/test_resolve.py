"""A configuration is resolved once: cheaply, wholly, and again alike from its JSON."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve


def test_resolving_costs_no_torch() -> None:
    code = (
        "import sys; from fedprivacy.config.run import RunConfig; from fedprivacy.study.resolve import resolve; "
        "resolve(RunConfig()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_that_is_asked_for_is_in_the_study(small_config: Any) -> None:
    attack = {"attacks": ("membership", "labels", "inversion"), "adversaries": ("server",)}
    study = resolve(small_config(protocol="fedavg", attack=attack))
    assert [(a.name, name) for a, name in study.seats.observations] == [
        ("server", "joint-updates"),
        ("server", "uploaded-weights"),
    ]
    assert [(a.name, source) for a, source in study.seats.labels] == [("server", "models")]
    assert [(a.name, source) for a, source in study.seats.inversion] == [("server", "updates")]
    assert study.wire.averages_whole_models and list(study.baselines) == ["local"]
    again = resolve(RunConfig.model_validate_json(study.config.model_dump_json()))
    assert (again.config, again.wire, again.seats, again.baselines) == (
        study.config,
        study.wire,
        study.seats,
        study.baselines,
    )


def test_baselines_follow_the_public_labels(small_config: Any) -> None:
    study = resolve(small_config(protocol="mutual", options={"public_epochs": 3}))
    assert list(study.baselines) == ["local", "local + public labels"]
    labelled = study.baselines["local + public labels"].config
    assert labelled.options == {"public_labels": True, "public_epochs": 3} and labelled.attack.attacks == ()
    assert not resolve(study.baselines["local"].config).baselines


def test_an_error_is_told_each_time(small_config: Any) -> None:
    wrong = small_config(protocol="fedavg", defense={"name": "dp-sgd", "epsilon": 1.0})
    for _ in range(2):
        with pytest.raises(UsageError, match="n_k"):
            resolve(wrong)


def test_clients_that_start_anew_each_round_forget_their_moments(small_config: Any) -> None:
    def state(protocol: str, **training: Any) -> str:
        return resolve(small_config(protocol=protocol, training=training)).federation.training.optimizer_state

    anew = {name for name in CARDS if state(name) == "fresh"}
    assert anew == {"fedavg", "fedprox", "fedasync", "fedbuff", "fedckd", "cfd", "feddf", "dfedavg"}
    assert state("fedavg", optimizer_state="persistent") == "persistent"
    assert state("mutual", optimizer_state="fresh") == "fresh"
