"""What the pages of ours have in common: runs that are carried out or found, and averaging that stops early."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import RunResult

STOPS = (1, 2, 3, 4, 6, 8, 12)
"""Rounds after which averaging may stop, to be held against a protocol whose models are as accurate."""


class Runner(Protocol):
    """Carries out runs, or finds them."""

    def train(self, config: RunConfig) -> tuple[RunResult, Path]:
        """A federation without an attack, and its folder."""

    def attack(self, config: RunConfig, run: Path) -> RunResult:
        """The transcripts of ``run``, attacked as ``config`` says."""
