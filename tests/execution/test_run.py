"""Where jobs run, and what is refused before they do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from fedprivacy.cli.main import cli
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.execution import ray_cluster
from fedprivacy.execution.job import Job
from fedprivacy.execution.ray_cluster import Home
from fedprivacy.execution.run import CLUSTER, Cluster, at_a_time, on, run_jobs
from fedprivacy.study.run import Plan, execute

JOBS = [Job(name, "builtins:dict", {"value": name}) for name in "ab"]


def test_every_job_is_done_once() -> None:
    found = {job.name: result["value"] for job, result in run_jobs(JOBS, 1, 1, lambda name, done: None)}
    assert found == {"a": "a", "b": "b"}


def test_without_ray_its_flag_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with on(Cluster("auto")), pytest.raises(UsageError, match=r"pip install 'fedprivacy\[ray\]'"):
        list(run_jobs(JOBS, 1, 1, lambda name, done: None))


def test_a_cluster_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: object, **__: object) -> None:
        raise Exception("The current node timed out\nduring startup.")

    monkeypatch.setitem(
        sys.modules, "ray", SimpleNamespace(init=init, is_initialized=lambda: False, shutdown=lambda: None)
    )
    with (
        on(Cluster("auto")),
        pytest.raises(UsageError, match=r"--ray auto: no cluster could be started .*timed out during"),
    ):
        at_a_time(2, 1)


def test_a_worker_stands_where_the_command_did_or_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home.here()
    monkeypatch.chdir("/")
    home.enter()
    assert Path.cwd() == tmp_path
    with pytest.raises(UsageError, match="that all machines of the cluster share"):
        Home(str(tmp_path / "elsewhere"), ()).enter()


def test_a_share_of_gpus_is_for_ray_and_no_cluster_outlives_its_command() -> None:
    refused = CliRunner().invoke(cli, ["run", "--ray-gpus", "0.5"])
    assert isinstance(refused.exception, UsageError) and "nothing without --ray" in str(refused.exception)
    CliRunner().invoke(cli, ["run", "--ray", "auto", "--protocol", "mutal"])
    assert CLUSTER.get() is None


@pytest.mark.parametrize(
    ("gpus", "threads", "jobs"),
    [(0.0, 1, 70), (0.0, 4, 17), (0.0, 3, 23), (0.25, 1, 14), (0.6, 1, 4), (1.0, 1, 4), (2.0, 1, 2), (2.0, 64, 1)],
)
def test_as_many_jobs_at_a_time_as_the_cluster_has_room_for(
    gpus: float, threads: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each machine by itself: 64 cores with two GPUs, 6 with two, and one that is gone."""
    nodes = [
        {"Alive": True, "Resources": {"CPU": 64.0, "GPU": 2.0, "memory": 1e9}},
        {"Alive": True, "Resources": {"CPU": 6.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"memory": 1e9}},
        {"Alive": False, "Resources": {"CPU": 1000.0}},
    ]
    monkeypatch.setattr(ray_cluster, "_connected", lambda cluster: SimpleNamespace(nodes=lambda: nodes))
    assert at_a_time(2, threads) == 2
    with on(Cluster("auto", gpus)):
        assert at_a_time(2, threads) == jobs


def test_stacks_of_shadows_are_sized_by_the_cluster_and_not_by_this_machine(
    small_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stacks(workers: int, cluster: Cluster | None) -> list[int]:
        found: list[int] = []

        def started(jobs: Sequence[Job]) -> None:
            found.extend(len(job.arguments["shadows"]) for job in jobs if "shadows" in job.arguments)
            raise KeyboardInterrupt

        attack = {"attacks": ("membership",), "adversaries": ("server",), "shadows": 16}
        config = small_config(protocol="fedavg", attack=attack)
        where = tmp_path / f"{workers}-{cluster}"
        with on(cluster), pytest.raises(KeyboardInterrupt):
            execute(config, Plan(where / "run", workers, baselines=False, started=started))
        return found

    monkeypatch.setattr(ray_cluster, "slots", lambda cluster, threads: 64)
    assert stacks(2, None) == [8, 8] and stacks(2, Cluster("auto")) == [1] * 16
