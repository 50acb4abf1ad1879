"""Jobs on a Ray cluster (the extra ``ray``). What a job makes lies in the run store, a folder that all machines share.

A job whose worker or machine is lost is tried again there or elsewhere, and takes up what it had stored: the same bits.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedprivacy.config.base import UsageError
from fedprivacy.execution.job import Job, Tick, WorkerLost, call, set_threads

if TYPE_CHECKING:
    from fedprivacy.execution.run import Cluster

RETRIES = 3
"""Times that a job is tried again after its worker was lost."""

LOOK = 0.2
"""Seconds between two looks at what jobs have done."""

ANSWER = 10.0
"""Seconds within which a cluster answers."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_worker_niceness": "0"}
"""Nothing is reported to anybody, and workers are as quick as the pool's: Ray's own default is nice 15."""


@dataclass(frozen=True)
class Home:
    """Where the process that asks stands, so that a worker stands there too."""

    folder: str
    modules: tuple[str, ...]

    @classmethod
    def here(cls) -> Home:
        """Of this process."""
        return cls(str(Path.cwd()), tuple(str(Path(place or ".").resolve()) for place in sys.path))

    def enter(self) -> None:
        """Stand there. UsageError where this machine has no such folder."""
        if not Path(self.folder).is_dir():
            raise UsageError(
                f"--ray: machine {os.uname().nodename} has no folder {self.folder}: start from one that all machines "
                "of the cluster share."
            )
        os.chdir(self.folder)
        sys.path += [place for place in self.modules if place not in sys.path]


class Board:
    """An actor that holds what jobs have told of their progress until it is fetched."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def tell(self, name: str, done: int) -> None:
        """Note that job ``name`` has done so many units."""
        self._told[name] = done

    def taken(self) -> dict[str, int]:
        """What came since the last call."""
        told, self._told = self._told, {}
        return told


def run_on(cluster: Cluster, jobs: Sequence[Job], threads: int, tick: Tick) -> Iterator[tuple[Job, Any]]:
    """Run all jobs and yield (job, result) as they finish; raises as :func:`fedprivacy.execution.run.run_jobs`."""
    ray, waiting = _connected(cluster), dict[Any, Job]()
    try:
        board = ray.remote(num_cpus=0)(Board).remote()
        task = ray.remote(num_cpus=threads, num_gpus=cluster.gpus, max_retries=RETRIES)(_carried_out)
        waiting = {task.remote(job, Home.here(), threads, board): job for job in jobs}
        while waiting:
            finished, _ = ray.wait(list(waiting), timeout=LOOK)
            for name, done in ray.get(board.taken.remote()).items():
                tick(name, done)
            for future in finished:
                yield waiting.pop(future), ray.get(future)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        words = " ".join(str(error).split())[:200]
        raise WorkerLost(
            f"Ray lost a worker {RETRIES + 1} times, or itself ({words}); finished work is kept: go on with --resume"
        ) from None
    finally:
        if waiting:
            leave()


def slots(cluster: Cluster, threads: int) -> int:
    """How many jobs of ``threads`` the cluster runs at the same time, as its machines are now."""
    machines = [machine["Resources"] for machine in _connected(cluster).nodes() if machine["Alive"]]
    return max(1, sum(_at_a_time(machine, threads, cluster.gpus) for machine in machines))


def _at_a_time(machine: Mapping[str, float], threads: int, gpus: float) -> int:
    """Jobs on one machine: several share a GPU where each takes less than one."""
    found = int(machine.get("CPU", 0) // threads)
    if not gpus:
        return found
    there = int(machine.get("GPU", 0))
    return min(found, there * int(1 / gpus) if gpus < 1 else int(there // gpus))


def leave() -> None:
    """Close the connection; jobs that are under way end."""
    import ray

    ray.shutdown()


def _carried_out(job: Job, home: Home, threads: int, board: Any) -> Any:
    home.enter()
    set_threads(threads)
    return call(job, lambda done: board.tell.remote(job.name, done))


def _connected(cluster: Cluster) -> Any:
    """Ray, connected from the first call on until :func:`leave`: a cluster takes seconds to start."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    try:
        import ray
    except ImportError:
        raise UsageError("--ray needs Ray: pip install 'fedprivacy[ray]'.") from None
    address = None if cluster.address == "auto" else cluster.address
    if ray.is_initialized():
        return ray
    try:
        if address is not None:
            _assert_listening(address)
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="error")
    except Exception as error:  # a cluster that starts too slowly is none of Ray's own errors
        words = " ".join(str(error).split())[:200]
        if address is None:
            raise UsageError(f"--ray auto: no cluster could be started on this machine ({words}).") from None
        raise UsageError(f"--ray: no cluster answers at '{cluster.address}' ({words}); try --ray auto.") from None
    return ray


def _assert_listening(address: str) -> None:
    """Raise OSError or ValueError where nobody listens at ``HOST:PORT``: Ray itself would wait for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=ANSWER):
        pass
