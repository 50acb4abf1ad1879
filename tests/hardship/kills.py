"""Kills a run again and again, at moments that nobody chose, and compares what it leaves with an undisturbed one.

    make kills                                  # 60 kills and 20 signals; about ten cpu-minutes
    python tests/hardship/kills.py --kills 6 --signals 2 --seed 7

Two shadow federations and two workers, and work enough that two adversaries look side by side. Who dies is drawn: the
process that was started, one of its workers, or all of them (SIGKILL), or it is asked to end (SIGTERM, SIGINT), which
must leave no temporary file and no lock. Every run is killed five times on the way and must then end with the same
results, file by file, and nothing beside them. Exit 1 where one does not.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fedprivacy import folder

ARGUMENTS = shlex.split(
    "run --protocol mutual --attack membership --dataset digits --clients 3 --rounds 5 --candidates 60 "
    "--public-size 20 --auxiliary 40 --local-epochs 26 --surrogate-epochs 10 --shadows 2 --statistic ratio,loss "
    "--no-baselines --workers 2 --resume --format json"
)
START = [sys.executable, "-c", "from fedprivacy.cli.main import main; main()"]
MOMENTS = (
    "*",
    "*/checkpoint/*",
    "*/checkpoint/round-00003*",
    "*/transcript/contents.bin",
    "*/observed/*",
    "*/probes/*",
    "bank/*/federation-0000/checkpoint/*",
    "bank/*/federation-0000/observed/*",
    "bank/*/federation-0001/checkpoint/*",
    "bank/*/federation-0001/observed/*",
    "bank/*/*/summary.json",
)
"""What lies in the folder when the clock of the kill begins to run."""

AT_ONCE = 5
PATIENCE = 1800.0
"""Seconds; generous, since a hang is what it is for and not a slow machine."""
TIMINGS = ("wall_seconds", "cpu_seconds", "workers")


def started(out: Path) -> subprocess.Popen[bytes]:
    """The run, in a process group of its own."""
    with (out / "complaints").open("wb") as complaints:
        return subprocess.Popen(
            [*START, *ARGUMENTS, "--out", str(out / "runs")],
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,
            preexec_fn=heard,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def heard() -> None:
    """Ctrl-C is heard, as from a terminal: a shell starts what runs in its background deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def members(group: int) -> dict[int, int]:
    """Living processes of a group: parent by process."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {int(pid): int(parent) for pgid, pid, parent, state in rows if int(pgid) == group and state[0] != "Z"}


def hidden(runs: Path) -> dict[str, bytes]:
    """Temporary files and locks, with what they hold: a lock that is taken up names its new owner."""
    return {str(path): path.read_bytes() for path in runs.rglob(".*")}


def disturbed(out: Path, how: str, chance: random.Random) -> bool:
    """Start the run, wait for a drawn moment and do it; False where the run had ended before."""
    runs = out / "runs"
    earlier = hidden(runs)
    process = started(out)
    before = {pattern: len(list(runs.glob(pattern))) for pattern in MOMENTS}
    pattern = chance.choice(MOMENTS)
    end = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < end and len(list(runs.glob(pattern))) <= before[pattern]:
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 0.4))
    if process.poll() is not None:
        return False
    found = members(process.pid)
    workers = [pid for pid, parent in found.items() if found.get(parent) == process.pid]
    if how == "worker" and workers:
        os.kill(chance.choice(workers), signal.SIGKILL)
    elif how == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif how in ("SIGTERM", "SIGINT"):
        os.killpg(process.pid, signal.SIGINT) if how == "SIGINT" else process.terminate()
    else:
        process.kill()
    process.wait(timeout=PATIENCE)
    end = time.monotonic() + PATIENCE
    while members(process.pid):
        if time.monotonic() > end:
            raise SystemExit(f"processes are left over after {how}: {members(process.pid)}")
        time.sleep(0.05)
    if how in ("SIGTERM", "SIGINT") and (left_behind := dict(hidden(runs).items() - earlier.items())):
        raise SystemExit(f"{how} left behind {left_behind}")
    return True


def left(runs: Path) -> dict[str, str]:
    """Digest of every file that must not depend on how a run was carried out, by name."""
    found = {}
    for path in sorted(runs.rglob("*")):
        if not path.is_file() or path.suffix == ".html":
            continue
        if path.name in ("result.json", "summary.json"):
            content: dict[str, Any] = folder.read_json(path)
            content.pop("cost", None)
            for timing in TIMINGS:
                content.get("provenance", {}).pop(timing, None)
            found[str(path.relative_to(runs))] = folder.seal_of(content)
        else:
            found[str(path.relative_to(runs))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def main() -> int:
    """Exit code: 0 where every run ended as if undisturbed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--signals", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    hows = [("parent", "worker", "group")[k % 3] for k in range(asked.kills)]
    hows += [("SIGTERM", "SIGINT")[k % 2] for k in range(asked.signals)]
    chance.shuffle(hows)
    done: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place, "undisturbed")
        out.mkdir()
        if started(out).wait(timeout=PATIENCE):
            raise SystemExit((out / "complaints").read_text())
        expected, number = left(out / "runs"), 0
        while hows:
            number += 1
            out = Path(place, f"{number}")
            out.mkdir()
            mine: list[str] = []
            for _ in range(AT_ONCE):
                if hows and disturbed(out, hows[-1], chance):
                    mine.append(hows.pop())
            code = started(out).wait(timeout=PATIENCE)
            same = code == 0 and left(out / "runs") == expected
            done.update(mine)
            if not same:
                wrong.update(mine)
                print((out / "complaints").read_text() or "files differ", file=sys.stderr)
            print(f"run {number}: {', '.join(mine)}: {'equal' if same else 'NOT EQUAL'}", flush=True)
    print(f"{'how':10}{'times':>8}{'not equal':>12}")
    for how in ("parent", "worker", "group", "SIGTERM", "SIGINT"):
        print(f"{how:10}{done[how]:8}{wrong[how]:12}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
