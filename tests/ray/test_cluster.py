"""Jobs on a Ray cluster of this machine: the bits of this process, also where a worker is killed in mid-job."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.execution.job import Job
from fedprivacy.execution.ray_cluster import QUIET
from fedprivacy.execution.run import Cluster, on, run_jobs
from fedprivacy.judge.result import RunResult
from fedprivacy.study import look
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, bank, execute

ray = pytest.importorskip("ray")
Configure = Callable[..., Any]


CORES = 3
"""Those of the cluster: neither one, nor the pool's two."""


@pytest.fixture
def on_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)
    with on(Cluster("auto")):
        ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
    assert not ray.is_initialized()


def workers() -> list[int]:
    """Processes of this process's cluster that carry out a job."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes().startswith(b"ray::_carried_out") and _ours(int(place.name)):
                found.append(int(place.name))
        except OSError:
            continue
    return found


def _ours(process: int) -> bool:
    while process > 1:
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[1])
        if process == os.getpid():
            return True
    return False


def test_a_bank_has_the_same_bits_as_in_the_pool_though_a_worker_is_killed(
    small_config: Configure, tmp_path: Path, on_ray: None
) -> None:
    """Six shadows: two a job on three cores of the cluster, three for two workers of the pool, six in this process."""
    attack = {"attacks": ("membership",), "adversaries": ("server",), "shadows": 6}
    config = small_config(protocol="fedavg", rounds=30, training={"local_epochs": 3}, attack=attack)
    killed: list[int] = []
    jobs: dict[str, list[str]] = {}

    def kill(name: str, done: int) -> None:
        if not killed and 0 < done < config.rounds:
            killed.extend(workers())
            for process in killed:
                os.kill(process, signal.SIGKILL)

    def run(where: str, workers: int, tick: Any) -> tuple[RunResult, list[Path]]:
        def started(several: Sequence[Job]) -> None:
            jobs[where] = [job.name for job in several if "shadow" in job.name]

        plan = Plan(tmp_path / where / "run", workers, baselines=False, tick=tick, started=started)
        found = execute(config, plan)
        return found, sorted(bank(resolve(config), plan, 0).glob("federation-*/observed/*"))

    there, files = run("ray", 1, kill)
    assert killed
    with on(None):
        others = [run("pool", 2, lambda name, done: None), run("here", 1, lambda name, done: None)]
    assert [len(jobs[where]) for where in ("ray", "pool", "here")] == [CORES, 2, 1]
    for other, its in others:
        assert there.findings == other.findings and there.utility == other.utility
        assert len(files) == len(its) > 0
        for one, another in zip(files, its, strict=True):
            arrays, same = folder.read_arrays(one)[0], folder.read_arrays(another)[0]
            assert arrays.keys() == same.keys() and all((arrays[name] == same[name]).all() for name in arrays)


def test_the_error_of_a_job_is_that_of_this_process(on_ray: None) -> None:
    job = Job(
        "wrong", "fedprivacy.study.job:federate", {"config": "{}", "root": 0, "shadow": None, "where": "/dev/null/x"}
    )
    with on(None), pytest.raises(Exception) as here:
        list(run_jobs([job], 1, 1, lambda name, done: None))
    with pytest.raises(type(here.value)) as there:
        list(run_jobs([job], 1, 1, lambda name, done: None))
    assert str(there.value) == str(here.value)


def test_a_cluster_that_does_not_answer_is_one_line() -> None:
    with on(Cluster("127.0.0.1:1")), pytest.raises(UsageError, match=r"--ray: no cluster answers at '127\.0\.0\.1:1'"):
        list(run_jobs([Job("any", "builtins:print")], 1, 1, lambda name, done: None))


def test_adversaries_look_on_the_cluster_as_they_do_here(
    small_config: Configure, tmp_path: Path, on_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "WORTH", 0)
    attack = {"attacks": ("membership",), "adversaries": ("server", "active-server", "client-0")}
    config = small_config(protocol="fedavg", rounds=3, attack=attack)
    assert look.apart(resolve(config), CORES)
    there = execute(config, Plan(tmp_path / "ray", 1, baselines=False))
    with on(None):
        here = execute(config, Plan(tmp_path / "here", 1, baselines=False))
    assert there.findings == here.findings and there.utility == here.utility
    assert not {path.name for path in (tmp_path / "ray").rglob(".*")}
