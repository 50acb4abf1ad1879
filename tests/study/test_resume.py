"""Killed for real: runs that die by SIGKILL, at moments nobody chose, go on and end bit for bit as if they had not."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedprivacy import folder
from fedprivacy.cli import main as entry
from fedprivacy.study.run import Plan, execute

ARGUMENTS = shlex.split(
    "run --protocol mutual --attack membership --dataset digits --clients 3 --rounds 5 --candidates 60 "
    "--public-size 20 --auxiliary 40 --local-epochs 2 --surrogate-epochs 10 --shadows 2 --statistic ratio,loss,rmia "
    "--format json"
)
START = [sys.executable, "-c", "from fedprivacy.cli.main import main; main()"]
PATIENCE = 120.0


def started(out: Path, *more: str) -> subprocess.Popen[str]:
    """``fedprivacy run`` in a process group of its own; what it prints goes to files beside the folder."""
    with out.with_suffix(".out").open("w") as printed, out.with_suffix(".err").open("w") as complaints:
        return subprocess.Popen(
            [*START, *ARGUMENTS, "--out", str(out), *more],
            stdout=printed,
            stderr=complaints,
            text=True,
            start_new_session=True,
            preexec_fn=heard,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def heard() -> None:
    """Ctrl-C is heard, as from a terminal: a shell starts what runs in its background deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def said(out: Path) -> tuple[str, str]:
    """What the last run printed, and what it complained about."""
    return out.with_suffix(".out").read_text(), out.with_suffix(".err").read_text()


def wait_for(out: Path, pattern: str, process: subprocess.Popen[str]) -> None:
    """Wait until a file of that name is in the folder, or the process has ended."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and not any(out.glob(pattern)):
        assert time.monotonic() < end, f"no {pattern} after {PATIENCE} s"
        time.sleep(0.005)


def living(group: int) -> dict[int, int]:
    """Processes of a group that are not dead: parent by process."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {int(pid): int(parent) for pgid, pid, parent, state in rows if int(pgid) == group and state[0] != "Z"}


def workers_of(group: int) -> list[int]:
    """Workers: children of the fork server, which is a child of the process that was started."""
    found = living(group)
    return [pid for pid, parent in found.items() if found.get(parent) == group]


def assert_all_go_away(group: int, within: float) -> None:
    end = time.monotonic() + within
    while found := living(group):
        assert time.monotonic() < end, f"still there after {within} s: {found}"
        time.sleep(0.1)


def in_this_process(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["fedprivacy", *arguments])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    return int(ended.value.code or 0)


def left(out: Path) -> dict[str, Any]:
    """What a run leaves that must not depend on how it was carried out."""
    (where,) = out.glob("mutual-*")
    result = folder.read_json(where / "result.json")
    for timing in ("wall_seconds", "cpu_seconds", "workers"):
        del result["provenance"][timing]
    files = [*where.glob("scores/*"), *where.glob("observed/*"), *where.glob("checkpoint/round-00005*")]
    files += [
        where / "transcript" / "log.jsonl",
        where / "transcript" / "contents.bin",
        *out.glob("bank/*/*/observed/*"),
    ]
    return {"result": result, **{str(f.relative_to(out)): f.read_bytes() for f in files}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same run, from start to end in one process."""
    out = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        assert in_this_process(patch, [*ARGUMENTS, "--out", str(out), "--workers", "1"]) == 0
    found = left(out)
    assert len(found) == 1 + 4 + 4 + 1 + 2 + 4  # four observations; the bank keeps those that serve as references
    return found


def died(process: subprocess.Popen[str], out: Path, how: str) -> None:
    """Kill the process that was started, its whole group, or one of its workers, and see all of them go."""
    workers = workers_of(process.pid)
    if how == "worker":
        os.kill(workers[0], signal.SIGKILL)
        assert process.wait(timeout=PATIENCE) == 3
        complaints = said(out)[1]
        assert complaints.count("\n") == 1 and "died" in complaints and "fewer workers" in complaints
    elif how == "parent":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert_all_go_away(process.pid, 20)
    if how == "parent" and workers:  # they end in order
        assert not [*out.glob("bank/**/.*"), *out.glob("mutual-*/**/.*")]


MOMENTS = {
    1: [("*/checkpoint/round-*", "parent"), ("bank/*/federation-0001/checkpoint/*", "group")],
    2: [("*/checkpoint/round-*", "parent"), ("bank/*/*/summary.json", "worker")],
}
"""By workers: what lies in the folder when the clock of the kill begins to run, and who is killed."""


@pytest.mark.parametrize("workers", MOMENTS)
def test_killed_again_and_again_it_ends_as_if_undisturbed(
    workers: int, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    chance, out = random.Random(workers), tmp_path / "runs"
    killed = 0
    for pattern, how in MOMENTS[workers]:
        process = started(out, "--workers", str(workers), "--resume")
        wait_for(out, pattern, process)
        time.sleep(0 if how == "worker" else chance.uniform(0, 0.2))
        if process.poll() is None:
            expected, end = 0 if workers == 1 else 2, time.monotonic() + PATIENCE
            while process.poll() is None and len(workers_of(process.pid)) != expected:
                assert time.monotonic() < end, f"never {expected} workers"
            died(process, out, how)
            killed += 1
    assert killed, "every process had ended before it could be killed"
    process = started(out, "--workers", str(workers), "--resume")
    code = process.wait(timeout=PATIENCE)
    printed, complaints = said(out)
    assert code == 0, complaints
    assert json.loads(printed)["config"] == undisturbed["result"]["config"]
    assert left(out) == undisturbed


def test_ctrl_c_leaves_a_run_that_goes_on_and_says_how(
    undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal sends the signal to the workers too; they say nothing."""
    out = tmp_path / "runs"
    process = started(out, "--workers", "2")
    wait_for(out, "*/checkpoint/round-*", process)
    os.killpg(process.pid, signal.SIGINT)
    code = process.wait(timeout=PATIENCE)
    assert_all_go_away(process.pid, 20)
    assert not list(out.rglob(".*"))
    printed, complaints = said(out)
    assert code in (2, 130) and printed == ""
    assert complaints.count("\n") == 1, complaints
    assert complaints.startswith("fedprivacy: interrupted")
    command = shlex.split(complaints.split("Go on with: fedprivacy ")[1])
    assert command == [*ARGUMENTS, "--out", str(out), "--workers", "2", "--resume"]
    assert in_this_process(monkeypatch, [*command, "--workers", "1"]) == 0
    assert left(out) == undisturbed


def test_an_unfinished_run_is_not_thrown_away_by_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fedprivacy.study.run.assembled", interrupted)
        assert in_this_process(patch, [*ARGUMENTS, "--out", str(tmp_path), "--workers", "1"]) in (2, 130)
    assert "--resume" in capsys.readouterr().err
    assert in_this_process(monkeypatch, [*ARGUMENTS, "--out", str(tmp_path), "--workers", "1"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "add --resume to go on, or --fresh to start over" in told


def test_an_attack_and_its_shadows_change_no_training_run(small_config: Callable[..., Any], tmp_path: Path) -> None:
    plain = small_config(attack={"attacks": ()})
    attacked = small_config(attack={"attacks": ("membership",), "shadows": 1})
    for name, config in (("plain", plain), ("attacked", attacked)):
        execute(config, Plan(tmp_path / name / "run", baselines=False))
    for file in ("checkpoint/round-00002.safetensors", "checkpoint/round-00001.safetensors", "transcript/log.jsonl"):
        ours, theirs = (tmp_path / name / "run" / file for name in ("plain", "attacked"))
        assert ours.read_bytes() == theirs.read_bytes()
