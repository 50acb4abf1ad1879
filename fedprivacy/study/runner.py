"""What the pages of ours have in common: runs that are carried out or found, and averaging that stops early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.metrics.intervals import Interval, mean_interval

STOPS = (1, 2, 3, 4, 6, 8, 12)
"""Rounds after which averaging may stop, to be held against a protocol whose models are as accurate."""


def over_seeds(values: Sequence[float], level: float) -> Interval:
    """The mean over seeds with its interval, within [0, 1]; a single seed has no interval but itself."""
    if len(values) == 1:
        return Interval(values[0], values[0], values[0], level, "one seed")
    return mean_interval(values, level, (0.0, 1.0))


def spread(mean: Interval, seeds: int) -> tuple[float | None, float | None, float | None, float | None]:
    """Value, ends and level as a tidy row has them; one seed has no interval."""
    return (mean.value, mean.low, mean.high, mean.level) if seeds > 1 else (mean.value, None, None, None)


ONE_THRESHOLD = "one threshold for all seeds"


def at_one_threshold(rate: Finding | None) -> Interval | None:
    """A rate of all seeds together with its interval; None where all of them have too few non-members."""
    if rate is None or rate.value is None or rate.low is None or rate.high is None:
        return None
    wrong = rate.false_positives or 0
    few = f"{wrong} false positive{'s' if wrong != 1 else ''}, few" if rate.flag == "few" else ""
    return Interval(rate.value, rate.low, rate.high, rate.level, ONE_THRESHOLD, few)


class Runner(Protocol):
    """Carries out runs, or finds them."""

    def train(self, config: RunConfig) -> tuple[RunResult, Path]:
        """A federation without an attack, and its folder."""

    def attack(self, config: RunConfig, run: Path) -> RunResult:
        """The transcripts of ``run``, attacked as ``config`` says."""

    def together(self, attacked: Sequence[tuple[RunConfig, RunResult]]) -> Mapping[str, Mapping[str, Finding]]:
        """Declared findings by adversary and metric over attacked runs that differ by their seed alone."""
