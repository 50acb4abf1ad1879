"""Findings of model theft: how far copies agree with the clients' models, beside a model that saw no message.

A copy after a round is held against the model that answered in it. Agreement is the share of test records that both
give the same class; KL(client || copy) in nats says how near the probabilities are; accuracy is the copy's own. A
second row of chance is the copy of another client: what a copy has of its own client alone is above it. Intervals are
Student's t over clients, of all seeds together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedprivacy.adversary.threat import Adversary, Float, Int
from fedprivacy.attacks.theft.observe import HISTORY, UNAIDED, Stolen
from fedprivacy.judge.result import Finding
from fedprivacy.metrics.intervals import Interval, mean_interval, paired_interval
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolved import Study
from fedprivacy.study.seed_notes import of_all, of_seeds
from fedprivacy.study.theft import load_stolen, load_true_answers, theft_path
from fedprivacy.wire.parties import client_name

AGREEMENT, DIVERGENCE, ACCURACY = "agreement", "KL", "accuracy"
GAIN = "agreement gain"
ANOTHER = "copy of another client"
RANGES = {AGREEMENT: (0.0, 1.0), DIVERGENCE: (0.0, math.inf), ACCURACY: (0.0, 1.0)}


def after(round: int) -> str:
    """The metric of agreement after a round."""
    return f"{AGREEMENT} after round {round}"


@dataclass(frozen=True, eq=False)
class Copies:
    """Scores [clients] of one way of copying, by metric; clients of all seeds one after the other."""

    scores: Mapping[str, Float]

    @classmethod
    def joined(cls, parts: Sequence[Copies]) -> Copies:
        """Those of several seeds."""
        return cls({name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores})


def theft_findings(study: Study, repetitions: Sequence[Repetition]) -> list[Finding]:
    """Findings of every adversary that copies."""
    found: list[Finding] = []
    for adversary in study.seats.theft:
        found += _of_adversary(study.attack.level, repetitions, adversary)
    return found


def compared(copy: Float, client: Float, labels: Int) -> dict[str, float]:
    """A copy's log-probabilities [n, C] against a client's, and against the labels [n]."""
    same = copy.argmax(axis=1) == client.argmax(axis=1)
    divergence = (np.exp(client) * (client - copy)).sum(axis=1)
    right = copy.argmax(axis=1) == labels
    return {
        AGREEMENT: float(same.mean()),
        DIVERGENCE: max(0.0, float(divergence.mean())),
        ACCURACY: float(right.mean()),
    }


def _of_adversary(level: float, repetitions: Sequence[Repetition], adversary: Adversary) -> list[Finding]:
    rows: dict[str, list[Copies]] = {}
    course: dict[int, list[Float]] = {}
    names: list[str] = []
    said: list[tuple[str, ...]] = []
    loaded = of_all([load_stolen(theft_path(repetition.place, adversary)) for repetition in repetitions])
    if isinstance(loaded, str):
        return [_finding(level, adversary, HISTORY, "all clients", AGREEMENT, None, None, 0, True, loaded, "error")]
    for repetition, stolen in zip(repetitions, loaded, strict=True):
        said.append(stolen.notes)
        truth = load_true_answers(repetition.place)
        labels = repetition.game.dataset.y_test[: truth.shape[2]]
        copied = next(iter(stolen.copies.values()))
        told = [k for k in range(truth.shape[1]) if not (np.isnan(copied[k]).any() or np.isnan(truth[:, k]).any())]
        names += [client_name(k) for k in told]
        for name, scores in _rows(stolen, truth[-1], labels, told).items():
            rows.setdefault(name, []).append(scores)
        for place, point in enumerate(stolen.points):
            agreed = [compared(stolen.course[place, k], truth[place, k], labels)[AGREEMENT] for k in told]
            course.setdefault(point, []).append(np.array(agreed))
    joined = {name: Copies.joined(parts) for name, parts in rows.items()}
    return [
        *_written(level, adversary, joined, names, "; ".join(of_seeds(said))),
        *_course(level, adversary, course, joined),
    ]


def _rows(stolen: Stolen, truth: Float, labels: Int, told: Sequence[int]) -> dict[str, Copies]:
    """By way of copying, then a model that saw no message, then the headline's copies of other clients."""
    ways = {**stolen.copies, UNAIDED: stolen.unaided}
    found = {name: _collected([compared(logp[k], truth[k], labels) for k in told]) for name, logp in ways.items()}
    head = next(iter(stolen.copies.values()))
    if len(told) > 1:
        found[ANOTHER] = _collected(
            [
                {
                    metric: float(np.mean([compared(head[j], truth[k], labels)[metric] for j in told if j != k]))
                    for metric in RANGES
                }
                for k in told
            ]
        )
    return found


def _collected(each: Sequence[Mapping[str, float]]) -> Copies:
    return Copies({metric: np.array([one[metric] for one in each]) for metric in RANGES})


def _written(
    level: float, adversary: Adversary, rows: Mapping[str, Copies], names: Sequence[str], notes: str
) -> list[Finding]:
    base = rows[UNAIDED].scores
    headline = next(iter(rows))
    found = []
    for name, copies in rows.items():
        head, note = name == headline, notes if name == headline else ""
        for metric, within in RANGES.items():
            estimate = mean_interval(copies.scores[metric], level, within)
            chance = float(base[metric].mean())
            found.append(
                _finding(level, adversary, name, "all clients", metric, estimate, chance, len(names), head, note)
            )
        if name not in (UNAIDED, ANOTHER):
            gain = paired_interval(copies.scores[AGREEMENT], base[AGREEMENT], level)
            found.append(_finding(level, adversary, name, "all clients", GAIN, gain, 0.0, len(names), head, note))
    if len(set(names)) == len(names):
        for place, name in enumerate(names):
            value = float(rows[headline].scores[AGREEMENT][place])
            alone = Interval(value, value, value, level, "one client")
            chance = float(base[AGREEMENT][place])
            found.append(_finding(level, adversary, headline, name, AGREEMENT, alone, chance, 1, True, ""))
    return found


def _course(
    level: float, adversary: Adversary, course: Mapping[int, Sequence[Float]], rows: Mapping[str, Copies]
) -> list[Finding]:
    chance, headline = float(rows[UNAIDED].scores[AGREEMENT].mean()), next(iter(rows))
    found = []
    for point, parts in course.items():
        agreed = np.concatenate(list(parts))
        estimate = mean_interval(agreed, level, RANGES[AGREEMENT])
        found.append(
            _finding(level, adversary, headline, "all clients", after(point), estimate, chance, len(agreed), False, "")
        )
    return found


def _finding(
    level: float,
    adversary: Adversary,
    statistic: str,
    target: str,
    metric: str,
    estimate: Interval | None,
    chance: float | None,
    n: int,
    headline: bool,
    note: str,
    flag: str = "",
) -> Finding:
    bare = estimate is None or n == 1
    return Finding(
        "theft",
        "shared predictions",
        statistic,
        str(adversary),
        target,
        metric,
        None if estimate is None else estimate.value,
        chance,
        None if bare or estimate is None else estimate.low,
        None if bare or estimate is None else estimate.high,
        level,
        n,
        flag="error" if flag else "",
        headline=headline,
        note=note,
    )
