"""Holds the truth and scores attacks against it. No attack is ever handed what is in here.

Scores of several clients are pooled by their ranks within (federation, client). Over several repetitions the value
is the mean of the repetitions and the interval is Student's t over them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedprivacy import seeds
from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.metrics.chance import auc_chance, tpr_chance
from fedprivacy.metrics.intervals import Interval, mean_interval
from fedprivacy.metrics.pooling import pool_by_rank
from fedprivacy.metrics.roc import tpr_at_fpr
from fedprivacy.metrics.tpr_interval import tpr_interval
from fedprivacy.result import Finding, Flag
from fedprivacy.threat import Bool, Float, Truth

FPRS = (0.1, 0.01, 0.001)
NULL = "null (shuffled coins)"


@dataclass(frozen=True)
class Label:
    """What the findings of one scoring are called."""

    observation: str
    adversary: str
    statistic: str
    level: float
    headline: bool
    note: str = ""


@dataclass(frozen=True, eq=False)
class Target:
    """One client of one repetition: its scores [n], and the truth about the same candidates."""

    name: str
    scores: Float
    truth: Truth

    def scored(self) -> tuple[Float, Bool]:
        """Scores and coins of the candidates that were observed at all."""
        known = ~np.isnan(self.scores)
        return self.scores[known], self.truth.coins[known]


def membership(repetitions: Sequence[Sequence[Target]], label: Label) -> list[Finding]:
    """Findings of one statistic: AUC and TPR at each FPR, pooled over clients and for each client.

    ``repetitions`` holds the targets of each seed. Without both members and non-members a target is an error
    finding, and the others stand.
    """
    found = _of_target(repetitions, "all clients", label)
    if label.headline and found[0].flag != "error":
        found += _null(repetitions, label)
    names = [target.name for target in repetitions[0]]
    if len(names) > 1:
        for place, name in enumerate(names):
            found += _of_target([[targets[place]] for targets in repetitions], name, label, auc_only=True)
    return found


def _of_target(
    repetitions: Sequence[Sequence[Target]], target: str, label: Label, auc_only: bool = False
) -> list[Finding]:
    try:
        return _measured(repetitions, target, label, auc_only)
    except ValueError as error:
        return [failed(label, str(error), target)]


def _null(repetitions: Sequence[Sequence[Target]], label: Label) -> list[Finding]:
    """The same scores against shuffled coins: a row that must cover chance, or the pipeline itself leaks."""
    shuffled = []
    for number, targets in enumerate(repetitions):
        mixed = []
        for place, target in enumerate(targets):
            order = seeds.numpy_generator(0, "null row", number, place).permutation(len(target.truth.coins))
            mixed.append(Target(target.name, target.scores, Truth(target.truth.coins[order])))
        shuffled.append(mixed)
    null = replace(
        label, statistic=NULL, headline=False, note=f"{label.statistic} on shuffled coins: must cover chance"
    )
    return _of_target(shuffled, "all clients", null)


def failed(label: Label, cause: str, target: str = "all clients") -> Finding:
    """A row for an attack that gave no number."""
    return Finding(
        "membership",
        label.observation,
        label.statistic,
        label.adversary,
        target,
        "AUC",
        None,
        None,
        None,
        None,
        label.level,
        0,
        flag="error",
        headline=label.headline,
        note=cause,
    )


def _measured(
    repetitions: Sequence[Sequence[Target]], target: str, label: Label, auc_only: bool = False
) -> list[Finding]:
    groups = []
    for targets in repetitions:
        pairs = [one.scored() for one in targets]
        groups.append(pool_by_rank([s for s, _ in pairs], [c for _, c in pairs]))
    counts = [(len(members), len(others)) for members, others in groups]
    found = [_auc(groups, counts, target, label)]
    if not auc_only:
        found += [_tpr(groups, counts, fpr, target, label) for fpr in FPRS]
    return found


Groups = Sequence[tuple[Float, Float]]


def _auc(groups: Groups, counts: Sequence[tuple[int, int]], target: str, label: Label) -> Finding:
    singles = [auc_interval(members, others, label.level) for members, others in groups]
    estimate = singles[0] if len(singles) == 1 else mean_interval([s.value for s in singles], label.level, (0.0, 1.0))
    bands = [auc_chance(n1, n0, label.level) for n1, n0 in counts]
    half = math.sqrt(sum((b.high - 0.5) ** 2 for b in bands)) / len(bands)
    return _finding("AUC", target, label, counts, estimate.value, (0.5, 0.5 - half, 0.5 + half), estimate)


def _tpr(groups: Groups, counts: Sequence[tuple[int, int]], fpr: float, target: str, label: Label) -> Finding:
    metric = f"TPR@{100 * fpr:g}%FPR"
    points = [tpr_at_fpr(members, others, fpr) for members, others in groups]
    below = [point for point in points if point.resolution == "below"]
    if below:
        why = f"below resolution: {below[0].n0} non-members a repetition, {math.ceil(1 / fpr)} needed"
        return _finding(metric, target, label, counts, None, (None, None, None), None, flag="below", note=why)
    if len(points) == 1:
        estimate = tpr_interval(*groups[0], fpr, label.level)
    else:
        estimate = mean_interval([point.tpr for point in points], label.level, (0.0, 1.0))
    bands = [tpr_chance(n1, n0, fpr, label.level) for n1, n0 in counts]
    centre = float(np.mean([b.value for b in bands]))
    below_centre = math.sqrt(sum((b.value - b.low) ** 2 for b in bands)) / len(bands)
    above_centre = math.sqrt(sum((b.high - b.value) ** 2 for b in bands)) / len(bands)
    flag: Flag = "few" if any(point.resolution == "few" for point in points) else ""
    return _finding(
        metric,
        target,
        label,
        counts,
        float(np.mean([point.tpr for point in points])),
        (centre, max(0.0, centre - below_centre), centre + above_centre),
        estimate,
        false_positives=sum(point.false_positives for point in points),
        flag=flag,
    )


def _finding(
    metric: str,
    target: str,
    label: Label,
    counts: Sequence[tuple[int, int]],
    value: float | None,
    chance: tuple[float | None, float | None, float | None],
    estimate: Interval | None,
    *,
    false_positives: int | None = None,
    flag: Flag = "",
    note: str = "",
) -> Finding:
    members, others = sum(n1 for n1, _ in counts), sum(n0 for _, n0 in counts)
    return Finding(
        "membership",
        label.observation,
        label.statistic,
        label.adversary,
        target,
        metric,
        value,
        chance[0],
        None if estimate is None else estimate.low,
        None if estimate is None else estimate.high,
        label.level,
        members + others,
        chance[1],
        chance[2],
        members,
        others,
        false_positives,
        flag,
        label.headline,
        note or label.note,
    )


def assert_trained_on_coins(trained: Sequence[Sequence[int]], pools: Sequence[Sequence[int]], coins: Bool) -> None:
    """Raise AssertionError unless each client trained on exactly the candidates whose coin fell on one."""
    start = 0
    for used, pool in zip(trained, pools, strict=True):
        expected = {int(record) for record, coin in zip(pool, coins[start : start + len(pool)], strict=True) if coin}
        start += len(pool)
        if set(map(int, used)) != expected:
            raise AssertionError("a client's training records are not those of its coins")


def pooled_curves(targets: Sequence[Target]) -> tuple[Float, Float]:
    """Members' and non-members' ranks of one repetition, for a ROC figure."""
    pairs = [target.scored() for target in targets]
    return pool_by_rank([s for s, _ in pairs], [c for _, c in pairs])
