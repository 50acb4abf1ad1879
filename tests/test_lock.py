"""Locks: one writer, readers that share, and nothing left behind wherever an interruption strikes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fedprivacy import lock

TRACED = (lock.__file__, contextlib.__file__)


def exclusive(place: Path) -> None:
    with lock.held(place / "new" / "folder" / ".lock"):
        assert (place / "new" / "folder" / ".lock").read_text().startswith(f"process {os.getpid()} on ")


def shared(place: Path) -> None:
    with lock.held(place / ".lock", shared=True):
        pass


def waited(place: Path) -> None:
    with lock.held(place / ".lock", wait=True):
        pass


def failing(place: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), lock.held(place / ".lock"):
        raise ZeroDivisionError


WAYS: list[Callable[[Path], None]] = [exclusive, shared, waited, failing]


class Interrupting:
    """Counts the steps (calls and instructions) in the lock's code, and interrupts at one of them."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in TRACED:
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        if event in ("call", "opcode"):
            self.steps += 1
            if self.steps == self.at:
                raise KeyboardInterrupt
        return self


def played(work: Callable[[], None], at: int = 0) -> int:
    """The steps of ``work``, interrupted at one of them; an interruption ends the count."""
    interrupting = Interrupting(at)
    sys.settrace(interrupting)
    try:
        work()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return interrupting.steps


@pytest.mark.parametrize("way", WAYS)
def test_an_interruption_at_any_step_leaves_nothing(way: Callable[[Path], None], tmp_path: Path) -> None:
    """Of one, all is cleared away at once or when the process ends; a second one may strike while it is."""
    steps = played(lambda: way(tmp_path))
    chance, kept = random.Random(0), 0
    assert steps > 100 and not any(tmp_path.iterdir())
    for first in range(1, steps + 1):
        played(lambda: way(tmp_path), first)
        kept += any(tmp_path.iterdir())
        played(lock.tidy, chance.randint(1, 60))
        lock.tidy()
        assert not any(tmp_path.iterdir()), f"left at step {first} of {steps}"
        with lock.held(tmp_path / ".lock"):
            pass
    assert kept < 5, "an interruption alone should nearly always be enough to let go"


def test_an_interruption_leaves_the_lock_of_another_alone(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with lock.held(path):
        mine = path.read_text()

        def refused() -> None:
            with pytest.raises(lock.Held, match=f"process {os.getpid()} on"), lock.held(path, shared=True):
                pass

        for step in range(1, played(refused) + 1):
            played(refused, step)
            for hold in lock._holds[1:]:
                hold.let_go()
            assert len(lock._holds) == 1 and path.read_text() == mine
    assert not path.exists()


def test_the_last_of_several_readers_takes_the_file_away(tmp_path: Path) -> None:
    """A writer that came while one of two readers was left would else lock another file, and write."""
    path = tmp_path / ".lock"
    with lock.held(path, shared=True):
        with lock.held(path, shared=True):
            pass
        with pytest.raises(lock.Held), lock.held(path):
            pass
    assert not path.exists()


def test_a_child_by_fork_does_not_let_go_of_what_its_parent_holds(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from fedprivacy import lock\n"
        "path = Path(sys.argv[1])\n"
        "with lock.held(path):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        sys.exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "    print(path.exists())\n"
    )
    command = [sys.executable, "-c", code.replace("sys.exit(0)", "lock.tidy(); os._exit(0)"), str(tmp_path / ".lock")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == "True\n" and not any(tmp_path.iterdir())


def test_what_an_interruption_left_goes_when_the_process_ends(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fedprivacy import lock\n"
        "def interrupted(self): raise KeyboardInterrupt\n"
        "honest, lock._Hold.let_go = lock._Hold.let_go, interrupted\n"
        "try:\n"
        "    with lock.held(Path(sys.argv[1])):\n"
        "        pass\n"
        "except KeyboardInterrupt:\n"
        "    lock._Hold.let_go = honest\n"
        "print(Path(sys.argv[1]).exists())\n"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path / ".lock")], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "True\n"), found.stderr
    assert not any(tmp_path.iterdir())


def test_a_lock_waited_for_is_had_when_it_is_free(tmp_path: Path) -> None:
    """The holder before takes its file with it; whoever waited locks the next one, and never a file that is gone."""
    path = tmp_path / ".lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.flock(handle, fcntl.LOCK_EX)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fedprivacy import lock\n"
        "path = Path(sys.argv[1])\n"
        "print('waits', flush=True)\n"
        "with lock.held(path, wait=True):\n"
        "    print(path.read_text().startswith('process '))\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None and waiting.stdout.readline() == "waits\n"
        path.unlink()
        os.close(handle)
        assert waiting.stdout.readline() == "True\n"
    assert not path.exists()
