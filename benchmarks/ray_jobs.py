"""What a Ray cluster of this machine costs beside the pool: cpu-seconds of all processes, for few and for more jobs.

    .venv-ray/bin/python benchmarks/ray_jobs.py --json reports/protocol_speed.json

Jobs of one cpu-second each, two at a time. The difference at no jobs is what starting and stopping a cluster costs; the
difference of the slopes is what a job costs more.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fedprivacy.execution.job import Job
from fedprivacy.execution.run import CLUSTER, Cluster, run_jobs

FEW, MORE, SECONDS, WORKERS = 2, 6, 1.0, 2
PR_SET_CHILD_SUBREAPER = 36


def burn(tick: Callable[[int], None]) -> float:
    """A job: a second of work."""
    start = time.process_time()
    while time.process_time() - start < SECONDS:
        pass
    tick(1)
    return time.process_time() - start


def carried_out(where: str, count: int) -> None:
    """All jobs, in the pool or on Ray."""
    if where == "ray":
        CLUSTER.set(Cluster("auto"))
    jobs = [Job(f"job {number}", "ray_jobs:burn", {}, 1) for number in range(count)]
    print(sum(1 for _ in run_jobs(jobs, WORKERS, 1, lambda name, done: None)))


def cost(where: str, count: int) -> tuple[float, float]:
    """Cpu-seconds of a process and all that it starts, and wall seconds until it is done."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, __file__, "--where", where, "--count", str(count)], check=True)
    wall = time.monotonic() - start
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Both sides in turn; the result goes with the other cells."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="the file of the other cells")
    parser.add_argument("--where", choices=("pool", "ray"), help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.where:
        carried_out(given.where, given.count)
        return
    found = {(where, count): cost(where, count) for count in (FEW, MORE) for where in ("pool", "ray")}
    cells = {}
    for where in ("pool", "ray"):
        few, more = found[where, FEW][0], found[where, MORE][0]
        job = (more - few) / (MORE - FEW)
        cells[where] = {"cpu_s": more, "ray_cpu_s_a_job": job, "ray_fixed_cpu_s": few - FEW * job}
        cells[where]["ray_wall_s"] = found[where, MORE][1]
    print(json.dumps(cells, indent=1))
    if given.json:
        stored = json.loads(given.json.read_text())
        stored["cells"]["ray"] = {f"{MORE} jobs of a cpu-second, {where}": one for where, one in cells.items()}
        given.json.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
