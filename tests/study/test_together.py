"""What single runs of several seeds give together is what one run of all these seeds gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedprivacy.cli.page import Found
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import Finding, RunResult

SETTINGS = {
    "protocol": "fedavg",
    "rounds": 2,
    "clients": 2,
    "seed": 3,
    "data": {"dataset": "digits", "candidates": 120, "auxiliary": 100, "public_size": 8},
    "training": {"model": "mlp-small", "local_epochs": 2},
}
ATTACK = {"attacks": ["membership"], "adversaries": ["server"], "observations": ["joint-updates"], "followed": 1}


def config(**changes: object) -> RunConfig:
    return build(RunConfig, {**SETTINGS, **changes}, "test")


def heads(result: RunResult) -> dict[str, Finding]:
    return {f.metric: f for f in result.findings if f.headline and f.target == "all clients"}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("together")


def test_single_runs_give_together_what_one_run_of_all_seeds_gives(out: Path) -> None:
    found = Found(out, 1, quiet=True)
    attacked = []
    for seed in (3, 4, 5):
        _, place = found.train(config(seed=seed))
        own = config(seed=seed, attack=ATTACK)
        attacked.append((own, found.attack(own, place)))
    assert all(heads(result)["TPR@1%FPR"].value is None for _, result in attacked)
    whole, _ = found.train(config(seeds=3, attack=ATTACK))
    (told,) = found.together(attacked).values()
    assert told["TPR@1%FPR"].value is not None
    for metric, one in heads(whole).items():
        other = told[metric]
        assert (other.value, other.low, other.high) == (one.value, one.low, one.high), metric
        assert (other.false_positives, other.per_seed, other.flag) == (one.false_positives, one.per_seed, one.flag)


def test_seeds_that_say_nothing_alone_say_nothing_together(out: Path) -> None:
    """Two candidates known, of which some seed has both on one side."""
    found = Found(out, 1, quiet=True)
    attacked = []
    for seed in range(3, 9):
        own = config(seed=seed, attack={**ATTACK, "known_share": 0.02})
        attacked.append((own, found.attack(own, found.train(config(seed=seed))[1])))
    assert any(one.flag == "error" for _, result in attacked for one in result.findings)
    assert found.together(attacked) == {}


def test_seeds_that_declared_another_statistic_are_not_put_together(out: Path) -> None:
    found = Found(out, 1, quiet=True)
    runs = []
    for seed in (3, 4):
        own = config(seed=seed, attack=ATTACK)
        runs.append((own, found.attack(own, found.train(config(seed=seed))[1])))
    assert found.together(runs)
    own, result = runs[1]
    other = replace(result, findings=tuple(replace(one, statistic="loss") for one in result.findings))
    assert found.together([runs[0], (own, other)]) == {}


def test_an_attack_that_failed_in_one_seed_gives_nothing_together(out: Path) -> None:
    found = Found(out, 1, quiet=True)
    own = config(seed=3, attack=ATTACK)
    result = found.attack(own, found.train(config(seed=3))[1])
    for path in (found.place(own) / "scores").glob("*"):
        path.unlink()
    assert found.together([(own, result)]) == {}
