"""The runs of the page, one after the other, and what they measured. Each is found again, so a stopped page goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedprivacy.config.run import RunConfig
from fedprivacy.judge.comparison import Standing, standings
from fedprivacy.judge.result import RunResult
from fedprivacy.metrics.intervals import Interval, paired_interval
from fedprivacy.study.runner import STOPS, Runner, at_one_threshold, over_seeds
from fedprivacy.study.seed_notes import of_seeds
from fedprivacy.study.verdict.plan import PREDICTIONS, WEIGHTS, Series, attacked, every_series, trained

AUC, TPR = "AUC", "TPR@1%FPR"


@dataclass(frozen=True, eq=False)
class Point:
    """One series at one share: values by seed, and the band of no leakage; ``failed`` tells why there are none.

    ``together``: TPR at one threshold for all seeds, where a seed alone has too few non-members for one of its own.
    """

    share: float
    auc: tuple[float, ...]
    tpr: tuple[float, ...]
    chance: Mapping[str, float]
    knowledge: str
    notes: tuple[str, ...]
    non_members: int
    failed: str = ""
    together: Interval | None = None

    def values(self, metric: str) -> tuple[float, ...]:
        """By seed."""
        return self.auc if metric == AUC else self.tpr

    def over_seeds(self, metric: str, level: float) -> Interval | None:
        """The mean with its interval, or what all seeds together give; None below the resolution of either."""
        values = self.values(metric)
        return over_seeds(values, level) if values else self.together if metric == TPR else None


@dataclass(frozen=True, eq=False)
class Line:
    """A series: accuracy by seed, after how many rounds, epsilon as accounted (the largest of its seeds), and its
    points by share."""

    series: Series
    rounds: int
    accuracy: tuple[float, ...]
    epsilon: float | None
    points: Mapping[float, Point]


@dataclass(frozen=True, eq=False)
class Measured:
    """All lines, and for each that shares predictions the weights of nearest accuracy at the largest share."""

    lines: tuple[Line, ...]
    rivals: Mapping[str, Line]
    cpu_seconds: float
    base: RunConfig
    seeds: int

    def line(self, series: Series) -> Line:
        """The line of a series."""
        return next(line for line in self.lines if line.series.title == series.title)


def measure(base: RunConfig, seeds: int, shares: Sequence[float], budgets: Sequence[float], runner: Runner) -> Measured:
    """Train every federation, stop averaging where it is as accurate, and attack each at every share."""
    roots, cost = range(base.seed, base.seed + seeds), 0.0
    made: dict[tuple[str, int], list[tuple[RunResult, Path, RunConfig]]] = {}

    def ran(series: Series, rounds: int) -> list[tuple[RunResult, Path, RunConfig]]:
        nonlocal cost
        key = (series.title, rounds)
        if key not in made:
            configs = [trained(base, series, root, rounds) for root in roots]
            made[key] = [(*runner.train(config), config) for config in configs]
            cost += sum(result.provenance.cpu_seconds for result, _, _ in made[key])
        return made[key]

    def line(series: Series, rounds: int, at: Sequence[float]) -> Line:
        nonlocal cost
        runs, points = ran(series, rounds), {}
        for share in at:
            configs = [attacked(config, base, series, share) for _, _, config in runs]
            results = [runner.attack(config, place) for config, (_, place, _) in zip(configs, runs, strict=True)]
            cost += sum(result.provenance.cpu_seconds for result in results)
            point = _point(share, results, series)
            if point.auc and not point.tpr:
                heads = next(iter(runner.together(list(zip(configs, results, strict=True))).values()), {})
                point = replace(point, together=at_one_threshold(heads.get(TPR)))
            points[share] = point
        claimed = [result.privacy.epsilon for result, _, _ in runs]
        epsilon = None if None in claimed else max(one for one in claimed if one is not None)
        return Line(series, rounds, _accuracies([result for result, _, _ in runs]), epsilon, points)

    stops = [rounds for rounds in STOPS if rounds <= base.rounds]
    averaged = {rounds: _accuracies([one[0] for one in ran(WEIGHTS, rounds)]) for rounds in stops}

    def nearest(accuracy: Sequence[float]) -> int:
        return min(stops, key=lambda rounds: abs(float(np.mean(averaged[rounds])) - float(np.mean(accuracy))))

    plain = nearest(_accuracies([one[0] for one in ran(PREDICTIONS, base.rounds)]))
    lines = []
    for series in every_series(budgets):
        rounds = plain if series.stopped else base.rounds
        lines.append(line(series, rounds, shares))
    rivals = {}
    for one in lines:
        if one.series.predicts and one.series.defense:
            rivals[one.series.title] = line(WEIGHTS, nearest(one.accuracy), (max(shares),))
    return Measured(tuple(lines), rivals, cost, base, seeds)


def _accuracies(results: Sequence[RunResult]) -> tuple[float, ...]:
    return tuple(result.utility["test_accuracy"].mean for result in results)


def _point(share: float, results: Sequence[RunResult], series: Series) -> Point:
    found: list[Standing] = [next(standings(result, series.title)) for result in results]
    heads = [one.auc for one in found]
    terms = dict.fromkeys(one.knowledge for one in found)
    unequal = f"its seeds were attacked on unequal terms ({', in other seeds '.join(terms)})" if len(terms) > 1 else ""
    failed = next((head.note for head in heads if head.value is None), unequal)
    rates = [one.headline.get(TPR) for one in found]
    seen = tuple(rate.value for rate in rates if rate is not None and rate.value is not None)
    chance = {AUC: 0.5, TPR: 0.01}
    auc = () if failed else tuple(float(head.value or 0.0) for head in heads)
    return Point(
        share,
        auc,
        () if failed or len(seen) < len(results) else seen,
        chance,
        ", in other seeds ".join(terms),
        of_seeds([list(filter(None, head.note.split("; "))) for head in heads]),
        min(head.non_members or 0 for head in heads),
        failed,
    )


def gap(one: Sequence[float], other: Sequence[float], level: float) -> Interval | None:
    """The difference over seeds; None for one seed or values that are missing."""
    if len(one) < 2 or len(one) != len(other):
        return None
    return paired_interval(one, other, level)
