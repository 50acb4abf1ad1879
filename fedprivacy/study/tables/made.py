"""The runs of a page, one after the other. Each is found again, so a stopped page goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedprivacy.config.base import Interrupted, UsageError
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.judge.result import RunResult
from fedprivacy.study.audit.run import audit_stored
from fedprivacy.study.resolve import resolve
from fedprivacy.study.runner import Runner
from fedprivacy.study.tables.recipe import Line


class Keeper(Runner, Protocol):
    """A runner that says where it keeps a run, and what comes next."""

    def place(self, config: RunConfig) -> Path:
        """The folder of a run."""

    def say(self, words: str) -> None:
        """One line on what comes next."""


@dataclass(frozen=True, eq=False)
class Made:
    """A run of the page, or why there is none; ``seconds`` of processor time."""

    line: Line
    result: RunResult | None
    where: Path | None = None
    refused: str = ""
    seconds: float = 0.0


def make(lines: Sequence[Line], runner: Keeper, check: Callable[[Line], object], audit: bool = False) -> list[Made]:
    """Carry out every line, and ``audit`` its claim.

    One that is refused, before or while it runs, is told and leaves the others standing.

    A federation is trained once, however many lines attack it. Raises the first refusal where nothing is left.
    """
    refused: dict[str, str] = {}
    for line in lines:
        try:
            check(line)
        except UsageError as error:
            refused[line.title] = str(error)
            if len(refused) == len(lines):
                raise
    made: list[Made] = []
    for number, line in enumerate(lines, start=1):
        if line.title in refused:
            made.append(Made(line, None, refused=refused[line.title]))
            continue
        runner.say(f"row {number} of {len(lines)}, {line.title}:")
        made.append(_made(line, runner, audit))
    return made


def _made(line: Line, runner: Keeper, audit: bool) -> Made:
    try:
        result, where = runner.train(line.config.model_copy(update={"attack": AttackConfig()}))
        seconds = result.provenance.cpu_seconds
        if line.config.attack.attacks:
            result, where = runner.attack(line.config, where), runner.place(line.config)
            seconds += result.provenance.cpu_seconds
        if audit:
            result = audit_stored(result, resolve(line.config), where, None)
    except Interrupted:
        raise
    except UsageError as error:
        return Made(line, None, refused=str(error))
    return Made(line, result, where, seconds=seconds)
