"""Jobs on a Ray cluster of this machine: the bits of this process, also where a worker is killed in mid-job."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.execution.job import Job
from fedprivacy.execution.run import CLUSTER, Cluster, run_jobs
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, bank, execute

pytest.importorskip("ray")
Configure = Callable[..., Any]


@pytest.fixture
def on_ray() -> Iterator[None]:
    token = CLUSTER.set(Cluster("auto"))
    yield
    CLUSTER.reset(token)


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


def test_a_bank_has_the_same_bits_though_a_worker_is_killed(
    small_config: Configure, tmp_path: Path, on_ray: None
) -> None:
    attack = {"attacks": ("membership",), "adversaries": ("server",), "shadows": 3}
    config = small_config(protocol="fedavg", rounds=30, training={"local_epochs": 3}, attack=attack)
    killed: list[int] = []

    def kill(name: str, done: int) -> None:
        if not killed and 0 < done < config.rounds:
            killed.extend(workers())
            for process in killed:
                os.kill(process, signal.SIGKILL)

    there = execute(config, Plan(tmp_path / "there" / "run", baselines=False, tick=kill))
    assert killed
    CLUSTER.set(None)
    here = execute(config, Plan(tmp_path / "here" / "run", baselines=False))
    assert there.findings == here.findings and there.utility == here.utility
    for shadow in range(3):
        places = [
            bank(resolve(config), Plan(tmp_path / where / "run"), 0) / f"federation-{shadow:04d}" / "observed"
            for where in ("there", "here")
        ]
        for file in places[1].iterdir():
            one, other = (folder.read_arrays(place / file.name)[0] for place in places)
            assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def test_the_error_of_a_job_is_that_of_this_process(on_ray: None) -> None:
    job = Job(
        "wrong", "fedprivacy.study.job:federate", {"config": "{}", "root": 0, "shadow": None, "where": "/dev/null/x"}
    )
    with pytest.raises(Exception) as here:
        token = CLUSTER.set(None)
        list(run_jobs([job], 1, 1, lambda name, done: None))
    CLUSTER.reset(token)
    with pytest.raises(type(here.value)) as there:
        list(run_jobs([job], 1, 1, lambda name, done: None))
    assert str(there.value) == str(here.value)


def test_a_cluster_that_does_not_answer_is_one_line() -> None:
    token = CLUSTER.set(Cluster("127.0.0.1:1"))
    with pytest.raises(UsageError, match=r"--ray: no cluster answers at '127\.0\.0\.1:1'"):
        list(run_jobs([Job("any", "builtins:print")], 1, 1, lambda name, done: None))
    CLUSTER.reset(token)
