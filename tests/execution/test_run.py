"""Where jobs run, and what is refused before they do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedprivacy.cli.main import cli
from fedprivacy.config.base import UsageError
from fedprivacy.execution.job import Job
from fedprivacy.execution.ray_cluster import Home
from fedprivacy.execution.run import CLUSTER, Cluster, run_jobs

JOBS = [Job(name, "builtins:dict", {"value": name}) for name in "ab"]


def test_every_job_is_done_once() -> None:
    found = {job.name: result["value"] for job, result in run_jobs(JOBS, 1, 1, lambda name, done: None)}
    assert found == {"a": "a", "b": "b"}


def test_without_ray_its_flag_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    token = CLUSTER.set(Cluster("auto"))
    with pytest.raises(UsageError, match=r"pip install 'fedprivacy\[ray\]'"):
        list(run_jobs(JOBS, 1, 1, lambda name, done: None))
    CLUSTER.reset(token)


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
