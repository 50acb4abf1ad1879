"""The command line in this process: what it prints, what it complains about, and how it ends."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedprivacy.cli import main as entry

SMALL = (
    "--dataset digits --clients 2 --rounds 2 --candidates 60 --public-size 20 --auxiliary 40 --local-epochs 1 "
    "--surrogate-epochs 3 --workers 1"
)
"""A federation that takes a moment."""


@dataclass(frozen=True)
class Ended:
    """One call of the command."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("fedprivacy: "), self.err
        return lines[0]


Call = Callable[..., Ended]


@pytest.fixture
def fedprivacy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Calls the command: ``fedprivacy("run --protocol mutual", "--out", path)``, in an empty working folder.

    ``{small}`` stands for the settings of a small federation.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(line: str, *more: object) -> Ended:
        words = [*shlex.split(line.replace("{small}", SMALL)), *map(str, more)]
        monkeypatch.setattr(sys, "argv", ["fedprivacy", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            entry.main()
        printed = capsys.readouterr()
        return Ended(int(ended.value.code or 0), printed.out, printed.err)

    return call
