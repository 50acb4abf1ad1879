"""What a Ray cluster of this machine costs beside the pool: cpu-seconds of all processes, for few and for more jobs.

    .venv/bin/python benchmarks/ray_jobs.py --json reports/protocol_speed.json

Jobs of two cpu-seconds each, two at a time, everything several times, both sides in turn. What few and more jobs take
tells what a job costs, and what is left of it is what starting and stopping costs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path

from measure import here

from fedprivacy.execution.job import Job
from fedprivacy.execution.run import CLUSTER, Cluster, run_jobs

FEW, MORE, SECONDS, WORKERS, LOOK, TURNS = 2, 6, 2.0, 2, 0.2, 2
SIDES = ("pool", "ray")


def burn(tick: Callable[[int], None]) -> float:
    """A job: some seconds of work."""
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
    """Cpu-seconds of a process and of all that it starts, and wall seconds until it is done.

    Ray's workers are nobody's children in the end, so all processes that inherited a mark are watched while they live.
    """
    mark = f"FEDPRIVACY_BENCH={os.getpid()}-{where}-{count}"
    name, _, value = mark.partition("=")
    start, spent = time.monotonic(), dict[int, float]()
    command = [sys.executable, __file__, "--where", where, "--count", str(count)]
    process = subprocess.Popen(command, env={**os.environ, name: value})
    wall = 0.0
    while living := _marked(mark.encode(), spent):
        spent |= living
        if not wall and process.poll() is not None:
            wall = time.monotonic() - start
        time.sleep(LOOK)
    if process.wait():
        raise SystemExit(f"{where}: the jobs failed")
    return sum(spent.values()), wall or time.monotonic() - start


def _marked(mark: bytes, known: Container[int]) -> dict[int, float]:
    """Living processes that inherited ``mark``, or did when last looked at, and their cpu-seconds."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        number = int(place.name)
        try:
            if number in known or mark in (place / "environ").read_bytes().split(b"\0"):
                fields = (place / "stat").read_text().rpartition(") ")[2].split()
                if fields[0] != "Z":
                    found[number] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return found


def main() -> None:
    """Both sides in turn; the result goes with the other cells."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="the file of the other cells")
    parser.add_argument("--where", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.where:
        carried_out(given.where, given.count)
        return
    turns = [turn() for _ in range(TURNS)]
    cells = {f"{MORE} jobs of {SECONDS:g} cpu-seconds, {where}": mean([one[where] for one in turns]) for where in SIDES}
    more = [one["ray"]["ray_cpu_s_a_job"] / one["pool"]["ray_cpu_s_a_job"] - 1 for one in turns]
    cells[list(cells)[-1]] |= {"more_least": min(more), "more_most": max(more), "turns": TURNS}
    print(json.dumps(cells, indent=1))
    if given.json:
        stored = json.loads(given.json.read_text())
        elsewhere = stored.setdefault("elsewhere", {})
        for name in stored["cells"].get("ray", {}):
            elsewhere.pop(name, None)
        stored["cells"]["ray"] = cells
        if here() != stored["machine"]:
            elsewhere |= dict.fromkeys(cells, ", ".join(here().values()))
        given.json.write_text(json.dumps(stored, indent=1) + "\n")


def turn() -> dict[str, dict[str, float]]:
    """Few jobs and more of them on both sides, once."""
    found = {(where, count): cost(where, count) for count in (FEW, MORE) for where in SIDES}
    sides = {}
    for where in SIDES:
        (few, _), (more, wall) = found[where, FEW], found[where, MORE]
        job = (more - few) / (MORE - FEW)
        sides[where] = {"cpu_s": more, "ray_cpu_s_a_job": job, "ray_fixed_cpu_s": few - FEW * job, "ray_wall_s": wall}
    print(json.dumps(sides), flush=True)
    return sides


def mean(several: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: sum(one[name] for one in several) / len(several) for name in several[0]}


if __name__ == "__main__":
    main()
