"""Where independent jobs run: here, in a pool of processes, or on a Ray cluster. Results do not depend on which."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from fedprivacy.execution.job import Job, Tick, call, set_threads


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster: ``auto`` is one that runs on this machine, or a new one of this machine alone.

    ``gpus``: part of a GPU that each job takes.
    """

    address: str
    gpus: float = 0.0


CLUSTER: ContextVar[Cluster | None] = ContextVar("cluster", default=None)
"""Takes the jobs of this process where it is set, by :func:`on`."""


@contextmanager
def on(cluster: Cluster | None) -> Iterator[None]:
    """Jobs go to ``cluster`` meanwhile; None: they stay here."""
    token = CLUSTER.set(cluster)
    try:
        yield
    finally:
        CLUSTER.reset(token)
        if cluster is not None and sys.modules.get("ray"):
            from fedprivacy.execution.ray_cluster import leave

            leave()


def at_a_time(workers: int, threads: int) -> int:
    """How many jobs of ``threads`` run at the same time: one a worker, or as many as the cluster has room for."""
    cluster = CLUSTER.get()
    if cluster is None:
        return workers
    from fedprivacy.execution.ray_cluster import slots

    return slots(cluster, threads)


def run_jobs(jobs: Sequence[Job], workers: int, threads: int, tick: Tick) -> Iterator[tuple[Job, Any]]:
    """Run all jobs and yield (job, result) as they finish; one worker, or one job, runs in this process.

    Raises the first error of a job after stopping the others, and :class:`~fedprivacy.execution.job.WorkerLost` when a
    worker died. Ray tries lost workers' jobs again, on as many at a time as the cluster has processors for.
    """
    cluster = CLUSTER.get()
    if cluster is not None and jobs:
        from fedprivacy.execution.ray_cluster import run_on

        yield from run_on(cluster, jobs, threads, tick)
    elif workers > 1 and len(jobs) > 1:
        from fedprivacy.execution.pool import run_in_pool

        yield from run_in_pool(jobs, workers, threads, tick)
    else:
        set_threads(threads)
        for job in jobs:
            yield job, call(job, lambda done, job=job: tick(job.name, done))  # type: ignore[misc]
