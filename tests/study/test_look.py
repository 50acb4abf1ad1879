"""Adversaries that look side by side see the same; what was not seen yet is looked at when the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedprivacy import folder
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.judge.result import RunResult
from fedprivacy.study import again, look, run, stored
from fedprivacy.study.job import SUMMARY
from fedprivacy.study.look import left
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute

Results = tuple[str, dict[int, tuple[Path, RunResult]]]
READ = {"mutual": ("joint-predictions", "joint-probes", "surrogate"), "fedavg": ("joint-updates", "traps")}


def config(protocol: str) -> RunConfig:
    return build(
        RunConfig,
        {
            "protocol": protocol,
            "clients": 2,
            "rounds": 2,
            "data": {"dataset": "digits", "candidates": 40, "public_size": 20, "auxiliary": 40},
            "training": {"model": "mlp-small", "local_epochs": 1},
            "attack": {
                "attacks": ["membership"],
                "adversaries": ["active-server", "server", "client-0"],
                "observations": READ[protocol],
                "surrogate_epochs": 2,
            },
        },
        "test",
    )


@pytest.fixture(scope="module", params=list(READ))
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look, "WORTH", 0)
        asked: dict[int, int] = {}
        for workers in (1, 2):

            def counted(*given: Any, workers: int = workers) -> Any:
                jobs = look.left(*given)
                asked[workers] = len(jobs)
                return jobs

            patch.setattr(run, "left", counted)
            where = tmp_path_factory.mktemp(f"workers-{workers}") / "run"
            found[workers] = where, execute(config(request.param), Plan(where, workers, baselines=False))
    assert asked == {1: 0, 2: 3}
    return request.param, found


def test_jobs_of_their_own_want_workers_adversaries_and_work() -> None:
    study = resolve(config("mutual"))
    assert not look.apart(study, 2)  # eight steps
    assert look.apart(resolve(RunConfig(attack=AttackConfig(attacks=("membership",)))), 2)
    assert not look.apart(resolve(RunConfig(attack=AttackConfig(attacks=("membership",)))), 1)
    assert not look.apart(resolve(RunConfig(attack=AttackConfig(attacks=("membership",)))), 2, "cuda")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look, "available_memory", lambda: 1e8)
        assert not look.apart(resolve(RunConfig(attack=AttackConfig(attacks=("membership",)))), 2)
    alone = AttackConfig(attacks=("membership",), adversaries=("server",))
    assert not look.apart(resolve(RunConfig(attack=alone)), 2)


def test_two_workers_change_nothing_but_the_cost(results: Results) -> None:
    _, found = results
    (one, alone), (two, beside) = found[1], found[2]
    assert alone.findings == beside.findings and alone.utility == beside.utility
    names = {path.name for path in (one / "observed").iterdir()}
    assert names == {path.name for path in (two / "observed").iterdir()} and len(names) >= 3
    for name in names:
        assert folder.read_bytes(one / "observed" / name) == folder.read_bytes(two / "observed" / name), name
    cost = folder.read_json(two / SUMMARY)["cost"]
    assert beside.provenance.cpu_seconds == pytest.approx(cost["cpu_seconds"], abs=0.02) and cost["memory_mb"] > 0


def test_what_nobody_has_looked_at_yet_is_looked_at_when_the_run_goes_on(results: Results) -> None:
    protocol, found = results
    where, whole = found[2]
    study = resolve(config(protocol))
    assert not left(study, where, study.roots[0], "cpu")
    gone = where / "observed" / f"client-0--{READ[protocol][0]}.safetensors"
    before = folder.read_bytes(gone)
    gone.unlink()
    (where / stored.RESULT).unlink()
    assert [job.name for job in left(study, where, study.roots[0], "cpu")] == ["seed 0, client-0"]
    again = execute(config(protocol), Plan(where, 1, resume=True, baselines=False))
    assert folder.read_bytes(gone) == before and again.findings == whole.findings
    assert again.provenance.cpu_seconds > whole.provenance.cpu_seconds


def test_nobody_looks_at_a_federation_that_is_not_whole(tmp_path: Path) -> None:
    where, settings = tmp_path / "run", config("fedavg")
    execute(settings, Plan(where, 1, baselines=False))
    for path in (where / "observed").glob("server--*"):
        path.unlink()
    (where / stored.RESULT).unlink()
    for path in (where / "checkpoint").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no checkpoint after its last round; run it again with --fresh"):
        execute(settings, Plan(where, 1, resume=True, baselines=False))


def test_what_an_attack_made_of_a_seed_is_not_taken_into_another_attack(tmp_path: Path) -> None:
    for name in ("transcript", *again.LOOKED_AT):
        (tmp_path / "run" / "seeds" / "1" / name).mkdir(parents=True)
    again._copied(tmp_path / "run" / "seeds", tmp_path / "seeds")
    assert [path.name for path in (tmp_path / "seeds" / "1").iterdir()] == ["transcript"]
