"""Progress on standard error: a bar on a terminal; elsewhere a line first and one a minute, where it is another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from fedprivacy.cli.say import say
from fedprivacy.reporting.text import clean, count, counted, duration

EVERY = 60.0
"""Seconds between two lines where there is no terminal."""


class Work:
    """How much of the work of all federations is done. A step is a round, or as much work as one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self._units: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._found, self._last = 0, ""

    def start(self, jobs: Sequence[Any]) -> None:
        """Tell how much there is to do."""
        self._units, self._begun = {job.name: job.units for job in jobs}, self._clock()

    def tick(self, job: str, done: int) -> None:
        """A job has finished ``done`` steps; what its first tick brings beyond one was found and not worked for."""
        if job not in self._done:
            self._found += max(0, done - 1)
        self._done[job], self._last = done, job

    @property
    def total(self) -> int:
        """Steps of all federations."""
        return sum(self._units.values())

    @property
    def done(self) -> int:
        """Steps that are behind us."""
        return sum(self._done.values())

    @property
    def where(self) -> str:
        """``federation 2 of 3 (seed 0, shadow 1)``: the one that was heard of last, or is next."""
        left = [name for name, units in self._units.items() if self._done.get(name, 0) < units]
        words = f"federation {min(len(self._units) - len(left) + 1, len(self._units))} of {len(self._units)}"
        if not left or len(self._units) == 1:
            return words
        return f"{words} ({self._last if self._last in left else left[0]})"

    def left(self) -> float | None:
        """Seconds left at the pace so far; None before the first step of this time."""
        worked = self.done - self._found
        return (self._clock() - self._begun) / worked * (self.total - self.done) if worked > 0 else None

    def announced(self) -> str:
        """The line at the start."""
        federations = counted(len(self._units), "federation")
        return f"{federations}, {counted(self.total, 'step')} in all; a line a minute follows."

    def told(self) -> str:
        """The line of a minute."""
        if not self._units:
            return "preparing data"
        if self.done >= self.total:
            return f"all {counted(self.total, 'step')} done; the rest is reading what was recorded"
        left = self.left()
        words = "no step done yet" if left is None else f"about {duration(left)} left"
        return f"{self.where}, {count(self.done)} of {counted(self.total, 'step')} done, {words}"


class Display:
    """What is said of the work while it goes on; nothing where ``quiet``."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._quiet, self._spoken = quiet, not quiet and not console.is_terminal
        self._work = Work()
        self._over = threading.Event()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or self._spoken,
        )
        self._task: Any = None

    def __enter__(self) -> Display:
        self._bar.start()
        self._task = self._bar.add_task("preparing data", total=None)
        if self._spoken:
            threading.Thread(target=self._speak, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._bar.stop()

    def _speak(self) -> None:
        before = ""
        while not self._over.wait(EVERY):
            words = self._work.told()
            if words != before:
                say(words)
            before = words

    def say(self, words: str) -> None:
        """One line above the bar; nothing where the display is quiet."""
        if words and not self._quiet:
            self._bar.console.print(clean(words), markup=False, highlight=False, soft_wrap=True)

    def start(self, jobs: Sequence[Any]) -> None:
        """Tell how much there is to do."""
        self._work.start(jobs)
        self._bar.update(self._task, total=self._work.total, description=self._work.where)
        if self._spoken:
            say(self._work.announced())

    def tick(self, job: str, done: int) -> None:
        """A job has finished ``done`` steps."""
        self._work.tick(job, done)
        self._bar.update(self._task, completed=self._work.done, description=self._work.where)
