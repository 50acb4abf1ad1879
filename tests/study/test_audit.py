"""Audits of real small federations: an honest claim stands, a false one is red, and unlike things are not compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy import folder
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import RunConfig
from fedprivacy.defenses import noise
from fedprivacy.judge.result import RunResult, from_json
from fedprivacy.privacy.comparable import Comparable
from fedprivacy.study.audit.audited import family_of
from fedprivacy.study.audit.guessed import by_unit, guessed
from fedprivacy.study.audit.run import audit
from fedprivacy.study.documents import write_documents
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan
from fedprivacy.study.variants import without_noise


def leaky(**changes: Any) -> RunConfig:
    """Three small clients that learn their records by heart, and a server that plants canaries in every fold."""
    content: dict[str, Any] = {
        "protocol": "mutual",
        "clients": 3,
        "rounds": 3,
        "data": {"dataset": "digits", "candidates": 80, "public_size": 60, "auxiliary": 0},
        "training": {"local_epochs": 12, "batch_size": 8},
        "attack": {"attacks": ["membership"], "adversaries": ["active-server"], "schedule": "spread"},
        "canaries": {"kind": "out-of-distribution", "number": 150},
        "defense": {"name": "gaussian", "epsilon": 0.5},
    }
    for name, value in changes.items():
        content[name] = {**content.get(name, {}), **value} if isinstance(value, dict) else value
    return build(RunConfig, content, "test")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Path]:
    where = tmp_path_factory.mktemp("honest") / "run"
    return audit(resolve(leaky()), Plan(where, baselines=False)), where


def test_an_honest_claim_is_not_refuted_and_the_control_fires(honest: tuple[RunResult, Path]) -> None:
    result, where = honest
    found = result.audit
    assert found is not None
    assert (found.unit, found.relation, found.m, found.federations) == ("record", "add-remove", 150, 1)
    assert found.epsilon == pytest.approx(0.5)
    assert [v.verdict for v in result.verdicts] in (["not refuted"], ["inconclusive"])
    control = [row for row in found.rows if row.control]
    assert {row.statistic for row in control} == {"ratio", "calibrated"}
    assert max(row.low for row in control) > 1
    assert found.noise_fired <= found.noise_allowed
    assert from_json(folder.read_json(where / "result.json")) == result
    assert not (where / "report.html").exists()
    write_documents(result, where)
    assert {path.name for path in (where / "figures").iterdir()} >= {"claim.png"}
    assert "Held against the claim" in (where / "report.html").read_text()


def test_a_claim_without_its_noise_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silence(shape: Any, deviation: float, source: Any) -> torch.Tensor:
        return torch.zeros(tuple(shape), dtype=torch.float64)

    monkeypatch.setattr(noise, "gaussian", silence)
    result = audit(resolve(leaky()), Plan(tmp_path / "run", baselines=False), control=False)
    assert result.privacy.epsilon == pytest.approx(0.5)
    assert [v.verdict for v in result.verdicts] == ["refuted"]
    assert "wrong sensitivity" in result.verdicts[0].why


def test_without_noise_nothing_is_claimed_and_the_leakage_is_told(tmp_path: Path) -> None:
    config = leaky(defense={"name": "none", "epsilon": None}, training={"local_epochs": 4})
    result = audit(resolve(config), Plan(tmp_path / "run", baselines=False))
    assert result.audit is not None
    assert result.audit.epsilon is None
    assert result.verdicts == ()
    assert not any(row.control for row in result.audit.rows)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"canaries": {"kind": "as-is", "number": None, "coins": "client"}}, "use record coins"),
        ({"attack": {"schedule": "last"}}, "--probe-schedule spread"),
        (
            {"defense": {"options": {"placement": "aggregator", "clip": 9.0}}, "protocol": "fedmd"},
            "does not cover what the server sees",
        ),
    ],
)
def test_unlike_things_are_refused(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    config = leaky(**changes, training={"local_epochs": 1}, rounds=1)
    with pytest.raises(UsageError, match=why):
        audit(resolve(config), Plan(tmp_path / "run", baselines=False), control=False)
    assert not (tmp_path / "run").exists()


def test_client_coins_are_one_guess_a_client_and_federation(tmp_path: Path) -> None:
    config = leaky(
        protocol="fedavg",
        options={"weighting": "uniform"},
        seeds=2,
        rounds=1,
        training={"local_epochs": 1},
        attack={"adversaries": ["server"], "schedule": "last"},
        canaries={"kind": "as-is", "number": None, "coins": "client"},
        defense={"name": "dp-fedavg", "epsilon": 2.0},
    )
    result = audit(resolve(config), Plan(tmp_path / "run", baselines=False))
    found = result.audit
    assert found is not None
    assert (found.unit, found.relation, found.m, found.federations) == ("client", "replace-one", 6, 2)
    assert [v.verdict for v in result.verdicts] == ["inconclusive"]
    assert "canaries" in result.verdicts[0].why
    assert result.findings == ()


def test_a_client_claim_covers_records_and_says_so(tmp_path: Path) -> None:
    config = leaky(
        protocol="fedavg",
        options={"weighting": "uniform"},
        rounds=1,
        training={"local_epochs": 1},
        attack={"adversaries": ["server"], "schedule": "last"},
        defense={"name": "dp-fedavg", "epsilon": 2.0},
    )
    found = audit(resolve(config), Plan(tmp_path / "run", baselines=False), control=False).audit
    assert found is not None
    assert found.epsilon == pytest.approx(2.0)
    assert "all records of a client may change" in found.conversion


def test_further_seeds_are_more_coins_of_the_same_mechanism_and_no_composition(tmp_path: Path) -> None:
    """Reachable by the strongest adversary is what the claim allows, however many federations there are."""
    config = leaky(
        protocol="fedavg",
        options={"weighting": "uniform"},
        seeds=2,
        rounds=1,
        training={"optimizer": "sgd", "lr": 0.1, "local_epochs": 1},
        attack={"adversaries": ["server"], "observations": ["noised-updates"], "schedule": "last"},
        canaries={"kind": "orthogonal", "number": None},
        defense={"name": "dp-sgd", "epsilon": 4.0, "options": {"batch_size": 80}},
    )
    result = audit(resolve(config), Plan(tmp_path / "run", baselines=False), control=False)
    assert result.audit is not None
    assert (result.audit.m, result.audit.federations) == (480, 2)
    ((row,), _) = guessed(resolve(config), tmp_path / "run", result.privacy)
    assert row.statistic == "joint" and row.odds and row.groups is not None
    family = family_of(resolve(config), tmp_path / "run", Comparable(4.0, 1e-5))
    assert family is not None
    assert family.at(1.0)[0] == pytest.approx(4.0, rel=1e-3)


def test_the_score_of_a_coin_compares_its_sides() -> None:
    scores = np.array([5.0, 1.0, 2.0, 3.0, 9.0])
    members = np.array([True, False, False, True, True])
    unit, side = np.array([0, 0, 1, 1, 2]), np.array([1, -1, 1, -1, 1])
    found, coins = by_unit(scores, members, unit, side)
    assert found == pytest.approx([5 - 1, 2 - 3])
    assert coins.tolist() == [True, False]


def test_the_control_keeps_everything_but_the_noise() -> None:
    bare = without_noise(leaky(defense={"options": {"clip": 2.0}}))
    assert bare is not None
    assert (bare.defense.sigma, bare.defense.epsilon, bare.defense.options) == (0.0, None, {"clip": 2.0})
    flips = without_noise(leaky(defense={"name": "randomized-response"}))
    assert flips is not None
    assert flips.defense.name == "label-only"
    assert without_noise(leaky(defense={"name": "none", "epsilon": None})) is None
