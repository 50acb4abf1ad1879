"""What lies with the machine and not with the user: exit code 3, one line, and the whole story with --debug."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedprivacy import folder
from fedprivacy.cli.trouble import UNFORESEEN
from fedprivacy.study import job

Call = Callable[..., Any]
RUN = "run --protocol fedavg {small} --no-baselines --format json"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/x"), "runs/x: no space is left"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "the quota is used up"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs/x"), "runs/x: no permission"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "read-only"),
        (MemoryError(), "memory ran out"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (KeyError("nobody thought of it"), "not foreseen: KeyError: 'nobody thought of it'"),
    ],
)
def test_a_run_that_the_machine_stops_ends_in_one_line(
    error: Exception, told: str, fedprivacy: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise error

    monkeypatch.setattr(job.folder, "write_json", stopped)
    ended = fedprivacy(RUN)
    assert ended.code == UNFORESEEN and told in ended.complaint and not ended.out
    ended = fedprivacy(f"--debug {RUN} --fresh")
    assert ended.code == UNFORESEEN and "Traceback" in ended.err and told in ended.err.splitlines()[-1]


@pytest.mark.parametrize("line", [f"{RUN} --out {{long}}", "report {long}", "attack {long}", "audit {long}"])
def test_a_name_that_is_too_long_for_the_file_system(line: str, fedprivacy: Call) -> None:
    ended = fedprivacy(line.replace("{long}", "a" * 300))
    assert ended.code == UNFORESEEN and "the name is too long" in ended.complaint


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_keeps_the_file_that_was_there_and_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.md"
    folder.write_text(path, "before")
    opened = os.open
    with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
        patch.setattr(folder.os, "open", lambda _, flags, *mode: opened("/dev/full", os.O_WRONLY))
        folder.write_text(path, "after")
    assert [file.name for file in tmp_path.iterdir()] == ["page.md"] and path.read_text() == "before"
