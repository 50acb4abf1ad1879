"""AUC and TPR at a low FPR over repetitions, each with its chance level and its interval.

Scores of several clients are pooled: log-odds as they are, others by their ranks within (federation, client). Over
several repetitions the value is the mean of the repetitions and the interval is Student's t over them. Repetitions
that share a seed (the federations of one shadow bank) are averaged first where there are several seeds; of one seed
the interval is over its federations, which share their candidates, so it is approximate.

Where a seed alone lacks the non-members that a low FPR needs, but all seeds together have as many different ones, there
is one threshold for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int
from fedprivacy.judge.result import Finding, Flag
from fedprivacy.judge.target import Label, Seeds, Target, pooled
from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.metrics.chance import auc_chance, tpr_chance
from fedprivacy.metrics.intervals import Interval, mean_interval
from fedprivacy.metrics.roc import tpr_at_fpr
from fedprivacy.metrics.tpr_interval import tpr_interval

FPRS = (0.1, 0.01, 0.001)


def measured(
    repetitions: Sequence[Sequence[Target]], target: str, label: Label, of_seed: Seeds, auc_only: bool = False
) -> list[Finding]:
    """AUC, and TPR at each of :data:`FPRS`, of all targets together. ValueError where nothing was observed."""
    groups, theirs, non_members = [], [], []
    odds = all(one.odds for targets in repetitions for one in targets)
    for targets, seed in zip(repetitions, of_seed, strict=True):
        if targets:
            groups.append(pooled(targets, odds))
            theirs.append(seed)
            non_members.append([one.non_members() for one in targets])
    if not groups:
        raise ValueError("nothing was observed of it")
    counts = [(len(members), len(others)) for members, others in groups]
    found = [_auc(groups, counts, target, label, theirs)]
    if not auc_only:
        once = _appear_first(non_members)
        for fpr in FPRS:
            enough = sum(counted.sum() for counted in once) >= math.ceil(1 / fpr) and len(set(theirs)) == len(groups)
            if enough and any(n0 < math.ceil(1 / fpr) for _, n0 in counts):
                found.append(_tpr_together(groups, counts, once, fpr, target, label))
            else:
                found.append(_tpr(groups, counts, fpr, target, label, theirs))
    return found


def _appear_first(non_members: Sequence[Sequence[Int | None]]) -> list[Bool]:
    """Of each repetition's non-members, in their order, those that no repetition before it had: mask [n0] each.

    A record that is unknown counts as one that was there before.
    """
    seen: set[int] = set()
    masks = []
    for targets in non_members:
        mask = [np.zeros(0, dtype=bool)]
        for records in targets:
            if records is None:
                return [np.zeros(0, dtype=bool)] * len(non_members)
            mask.append(np.array([record not in seen for record in records.tolist()], dtype=bool))
        for records in targets:
            seen.update([] if records is None else records.tolist())
        masks.append(np.concatenate(mask))
    return masks


def over_seeds(values: Sequence[float], of_seed: Seeds, level: float) -> Interval:
    """The mean with its interval over seeds; over the federations of the seed where there is one."""
    means = by_seed(values, of_seed)
    return mean_interval(means if len(means) > 1 else values, level, (0.0, 1.0))


def by_seed(values: Sequence[float], of_seed: Seeds) -> tuple[float, ...]:
    """The mean of each seed's repetitions, in the order of the seeds."""
    pairs = list(zip(values, of_seed, strict=True))
    return tuple(float(np.mean([v for v, seed in pairs if seed == one])) for one in dict.fromkeys(of_seed))


Groups = Sequence[tuple[Float, Float]]


def _auc(groups: Groups, counts: Sequence[tuple[int, int]], target: str, label: Label, of_seed: Seeds) -> Finding:
    singles = [auc_interval(members, others, label.level) for members, others in groups]
    estimate = singles[0]
    if len(singles) > 1:
        estimate = _no_narrower(over_seeds([s.value for s in singles], of_seed, label.level), singles)
    bands = [auc_chance(n1, n0, label.level) for n1, n0 in counts]
    half = math.sqrt(sum((b.high - 0.5) ** 2 for b in bands)) / len(bands)
    chance = (0.5, 0.5 - half, 0.5 + half)
    found = finding("AUC", target, label, counts, estimate.value, chance, estimate)
    return replace(found, per_seed=by_seed([single.value for single in singles], of_seed))


def _no_narrower(over: Interval, singles: Sequence[Interval]) -> Interval:
    """An interval over repetitions, widened to what the sampling of candidates within each of them leaves open.

    A few repetitions can agree by luck, and then their spread says less than the intervals of each.
    """
    below = math.sqrt(sum((one.value - one.low) ** 2 for one in singles)) / len(singles)
    above = math.sqrt(sum((one.high - one.value) ** 2 for one in singles)) / len(singles)
    low, high = max(0.0, over.value - below), min(1.0, over.value + above)
    return replace(over, low=min(over.low, low), high=max(over.high, high))


def _tpr(
    groups: Groups, counts: Sequence[tuple[int, int]], fpr: float, target: str, label: Label, of_seed: Seeds
) -> Finding:
    metric = f"TPR@{100 * fpr:g}%FPR"
    points = [tpr_at_fpr(members, others, fpr) for members, others in groups]
    below = [point for point in points if point.resolution == "below"]
    if below:
        why = f"below resolution: {below[0].n0} non-members a repetition, {math.ceil(1 / fpr)} needed"
        return finding(metric, target, label, counts, None, (None, None, None), None, flag="below", note=why)
    if len(points) == 1:
        estimate = tpr_interval(*groups[0], fpr, label.level)
    else:
        singles = [tpr_interval(members, others, fpr, label.level) for members, others in groups]
        estimate = _no_narrower(over_seeds([point.tpr for point in points], of_seed, label.level), singles)
    bands = [tpr_chance(n1, n0, fpr, label.level) for n1, n0 in counts]
    centre = float(np.mean([b.value for b in bands]))
    below_centre = math.sqrt(sum((b.value - b.low) ** 2 for b in bands)) / len(bands)
    above_centre = math.sqrt(sum((b.high - b.value) ** 2 for b in bands)) / len(bands)
    flag: Flag = "few" if any(point.resolution == "few" for point in points) else ""
    found = finding(
        metric,
        target,
        label,
        counts,
        points[0].tpr if len(points) == 1 else estimate.value,
        (centre, max(0.0, centre - below_centre), centre + above_centre),
        estimate,
        false_positives=sum(point.false_positives for point in points),
        flag=flag,
    )
    return replace(found, per_seed=by_seed([point.tpr for point in points], of_seed))


def _tpr_together(
    groups: Groups,
    counts: Sequence[tuple[int, int]],
    once: Sequence[Bool],
    fpr: float,
    target: str,
    label: Label,
) -> Finding:
    """TPR at one threshold for the pooled scores of all seeds, none of which has the non-members for one of its own.

    Seeds draw from the same data. A non-member that several of them have is no second one: the resolution counts
    different records, and the interval's threshold rests on the first appearance of each (``once``: masks [n0] of
    each seed). It covers what those records leave open, by order statistics, and how the seeds differ at the
    threshold, by Student's t; a member that several seeds have is taken as several.
    """
    members, others = (np.concatenate(side) for side in zip(*groups, strict=True))
    different = np.concatenate([theirs[first] for (_, theirs), first in zip(groups, once, strict=True)])
    point = tpr_at_fpr(members, others, fpr, different.size)
    of_seeds = tuple(float((own > point.threshold).mean()) for own, _ in groups)
    over = replace(mean_interval(of_seeds, label.level, (0.0, 1.0)), value=point.tpr)
    band = tpr_chance(members.size, different.size, fpr, label.level)
    told = finding(
        f"TPR@{100 * fpr:g}%FPR",
        target,
        label,
        counts,
        point.tpr,
        (band.value, band.low, band.high),
        _no_narrower(over, [tpr_interval(members, different, fpr, label.level)]),
        false_positives=point.false_positives,
        flag="few" if point.resolution == "few" else "",
        note="; ".join(filter(None, (label.note, f"one threshold for {len(groups)} seeds"))),
    )
    return replace(told, per_seed=of_seeds)


def finding(
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
    """One number with its chance level and interval; ``counts``: members and non-members of each repetition."""
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
