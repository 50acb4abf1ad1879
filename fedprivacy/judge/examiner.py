"""Holds the truth and scores attacks against it. No attack is ever handed what is in here.

Scores of several clients are pooled by their ranks within (federation, client). Over several repetitions the value
is the mean of the repetitions and the interval is Student's t over them. Repetitions that share a seed (the federations
of one shadow bank) are averaged first where there are several seeds; of one seed the interval is over its federations,
which share their candidates, so it is approximate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.threat import Bool, Float, Truth
from fedprivacy.judge.result import Finding, Flag
from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.metrics.chance import auc_chance, tpr_chance
from fedprivacy.metrics.intervals import Interval, corrected_level, mean_interval
from fedprivacy.metrics.pooling import pool_by_rank
from fedprivacy.metrics.roc import auc, tpr_at_fpr
from fedprivacy.metrics.tpr_interval import tpr_interval
from fedprivacy.metrics.vulnerability import most_vulnerable

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


Seeds = Sequence[int]
"""Which seed each repetition belongs to."""

TENTH = "most vulnerable tenth"


def membership(repetitions: Sequence[Sequence[Target]], label: Label, of_seed: Seeds | None = None) -> list[Finding]:
    """Findings of one statistic: AUC and TPR at each FPR, pooled over clients and for each client.

    ``repetitions`` holds the targets of each federation, ``of_seed`` [repetitions] says which share a seed (default:
    none do). Without both members and non-members a target is an error finding, and the others stand.
    """
    of_seed = range(len(repetitions)) if of_seed is None else of_seed
    found = _of_target(repetitions, "all clients", label, of_seed)
    if label.headline and found[0].flag != "error":
        found += _null(repetitions, label, of_seed)
    names = list(dict.fromkeys(target.name for targets in repetitions for target in targets))
    if len(names) > 1:
        for name in names:
            alone = [[target for target in targets if target.name == name] for targets in repetitions]
            kept = [place for place, targets in enumerate(alone) if targets]
            theirs = [of_seed[place] for place in kept]
            found += _of_target([alone[place] for place in kept], name, label, theirs, auc_only=True)
    return found


def best_of(
    measured: Mapping[str, Sequence[Sequence[Target]]], label: Label, of_seed: Seeds | None = None
) -> list[Finding]:
    """The highest AUC of several statistics, named as the selection it is, with its interval corrected for it."""
    if len(measured) < 2:
        return []
    first = next(iter(measured.values()))
    of_seed = range(len(first)) if of_seed is None else of_seed
    strict = replace(label, level=corrected_level(label.level, len(measured)), headline=False)
    aucs = {name: _measured(targets, "all clients", strict, of_seed, True)[0] for name, targets in measured.items()}
    best = max(aucs, key=lambda name: aucs[name].value or 0.0)
    note = f"{best}; a selection, interval corrected for {len(measured)} comparisons"
    name = f"best of {len(measured)}, selected"
    return [replace(aucs[best], statistic=name, level=label.level, note=note)]


def most_vulnerable_tenth(
    repetitions: Sequence[Sequence[Target]],
    margins: Sequence[Sequence[Float]],
    label: Label,
    of_seed: Seeds,
    share: float = 0.1,
) -> list[Finding]:
    """AUC among the tenth of each client's candidates that the *other* federations of its seed reveal most.

    ``margins``: per repetition and target the margins [n] of that federation alone, by which candidates are chosen;
    the target's own coins play no part. Candidates that some federation was not asked about are left out. The few of
    a client are judged among themselves, and clients averaged: ranks of so few cannot be pooled.
    """
    areas: list[float] = []
    theirs: list[int] = []
    counts: list[tuple[int, int]] = []
    for seed in dict.fromkeys(of_seed):
        places = [place for place, other in enumerate(of_seed) if other == seed]
        names = [{target.name for target in repetitions[place]} for place in places]
        found: list[list[float]] = [[] for _ in places]
        for name in [t.name for t in repetitions[places[0]] if all(t.name in known for known in names)]:
            slots = [[t.name for t in repetitions[place]].index(name) for place in places]
            scores = np.stack([repetitions[p][s].scores for p, s in zip(places, slots, strict=True)])
            coins = np.stack([repetitions[p][s].truth.coins for p, s in zip(places, slots, strict=True)])
            seen = np.stack([margins[p][s] for p, s in zip(places, slots, strict=True)])
            known = ~(np.isnan(scores) | np.isnan(seen)).any(axis=0)
            if len(places) < 2 or not known.any():
                continue
            scores, coins = scores[:, known], coins[:, known]
            for row, chosen in enumerate(most_vulnerable(seen[:, known], coins, share)):
                members, others = scores[row, chosen][coins[row, chosen]], scores[row, chosen][~coins[row, chosen]]
                if len(members) and len(others):
                    found[row].append(auc(members, others))
                    counts.append((len(members), len(others)))
        areas += [float(np.mean(one)) for one in found if one]
        theirs += [seed for one in found if one]
    if not areas:
        return []
    bands = [auc_chance(n1, n0, label.level).high - 0.5 for n1, n0 in counts]
    half = math.sqrt(sum(band**2 for band in bands)) / len(bands)
    note = f"chosen on the other federations alone{'; ' + label.note if label.note else ''}"
    estimate = _over(areas, theirs, label.level)
    own = replace(label, note=note)
    return [_finding("AUC", TENTH, own, counts, estimate.value, (0.5, 0.5 - half, 0.5 + half), estimate)]


def _of_target(
    repetitions: Sequence[Sequence[Target]], target: str, label: Label, of_seed: Seeds, auc_only: bool = False
) -> list[Finding]:
    try:
        return _measured(repetitions, target, label, of_seed, auc_only)
    except ValueError as error:
        return [failed(label, str(error), target)]


def _null(repetitions: Sequence[Sequence[Target]], label: Label, of_seed: Seeds) -> list[Finding]:
    """The same scores against shuffled coins: checks the metric, its pooling and its interval, not the attack.

    Coins are shuffled after scoring, so an attack that had seen the truth would pass; the observations are built so
    that none can. One row in twenty misses chance at a level of 95%.
    """
    shuffled = []
    for number, targets in enumerate(repetitions):
        mixed = []
        for place, target in enumerate(targets):
            order = seeds.numpy_generator(0, "null row", number, place).permutation(len(target.truth.coins))
            mixed.append(Target(target.name, target.scores, Truth(target.truth.coins[order])))
        shuffled.append(mixed)
    null = replace(
        label,
        statistic=NULL,
        headline=False,
        note=f"{label.statistic} on shuffled coins: checks the metric, not the attack",
    )
    return _of_target(shuffled, "all clients", null, of_seed)


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
    repetitions: Sequence[Sequence[Target]], target: str, label: Label, of_seed: Seeds, auc_only: bool = False
) -> list[Finding]:
    groups, theirs = [], []
    for targets, seed in zip(repetitions, of_seed, strict=True):
        if targets:
            pairs = [one.scored() for one in targets]
            groups.append(pool_by_rank([s for s, _ in pairs], [c for _, c in pairs]))
            theirs.append(seed)
    if not groups:
        raise ValueError("nothing was observed of it")
    counts = [(len(members), len(others)) for members, others in groups]
    found = [_auc(groups, counts, target, label, theirs)]
    if not auc_only:
        found += [_tpr(groups, counts, fpr, target, label, theirs) for fpr in FPRS]
    return found


def _over(values: Sequence[float], of_seed: Seeds, level: float) -> Interval:
    """The mean with its interval over seeds; over the federations of the seed where there is one."""
    by_seed = _by_seed(values, of_seed)
    return mean_interval(by_seed if len(by_seed) > 1 else values, level, (0.0, 1.0))


def _by_seed(values: Sequence[float], of_seed: Seeds) -> tuple[float, ...]:
    """The mean of each seed's repetitions, in the order of the seeds."""
    pairs = list(zip(values, of_seed, strict=True))
    return tuple(float(np.mean([v for v, seed in pairs if seed == one])) for one in dict.fromkeys(of_seed))


Groups = Sequence[tuple[Float, Float]]


def _auc(groups: Groups, counts: Sequence[tuple[int, int]], target: str, label: Label, of_seed: Seeds) -> Finding:
    singles = [auc_interval(members, others, label.level) for members, others in groups]
    estimate = singles[0]
    if len(singles) > 1:
        estimate = _no_narrower(_over([s.value for s in singles], of_seed, label.level), singles)
    bands = [auc_chance(n1, n0, label.level) for n1, n0 in counts]
    half = math.sqrt(sum((b.high - 0.5) ** 2 for b in bands)) / len(bands)
    chance = (0.5, 0.5 - half, 0.5 + half)
    found = _finding("AUC", target, label, counts, estimate.value, chance, estimate)
    return replace(found, per_seed=_by_seed([single.value for single in singles], of_seed))


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
        return _finding(metric, target, label, counts, None, (None, None, None), None, flag="below", note=why)
    if len(points) == 1:
        estimate = tpr_interval(*groups[0], fpr, label.level)
    else:
        singles = [tpr_interval(members, others, fpr, label.level) for members, others in groups]
        estimate = _no_narrower(_over([point.tpr for point in points], of_seed, label.level), singles)
    bands = [tpr_chance(n1, n0, fpr, label.level) for n1, n0 in counts]
    centre = float(np.mean([b.value for b in bands]))
    below_centre = math.sqrt(sum((b.value - b.low) ** 2 for b in bands)) / len(bands)
    above_centre = math.sqrt(sum((b.high - b.value) ** 2 for b in bands)) / len(bands)
    flag: Flag = "few" if any(point.resolution == "few" for point in points) else ""
    found = _finding(
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
    return replace(found, per_seed=_by_seed([point.tpr for point in points], of_seed))


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
