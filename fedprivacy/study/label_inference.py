"""Findings of label-distribution inference: each client's estimated shares against those of the records it trained on.

Beside every estimator stand three guesses that look at nothing: uniform, the histogram of the adversary's public
records, and random histograms of the configured skew. An estimate is judged against the better of the first two: public
records alone tell the classes of a federation whose clients are alike. Intervals are over clients, of all seeds
together: Student's t, which covers from three clients on where a bootstrap of so few does not
(tests/attacks/labels/test_label_intervals.py), and Clopper-Pearson for hits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedprivacy import seeds
from fedprivacy.adversary.threat import Adversary, Float
from fedprivacy.attacks.labels.observe import BIAS, HEADLINE, LabelEstimates
from fedprivacy.judge.result import Finding
from fedprivacy.metrics.intervals import Interval, mean_interval, share_interval
from fedprivacy.metrics.labels import LabelScores, chance_labels, compare_labels, gain_over_best
from fedprivacy.study.game import Game
from fedprivacy.study.label_shares import labels_path, load_label_shares
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolved import Study
from fedprivacy.study.seed_notes import of_all, of_seeds
from fedprivacy.wire.parties import client_name

HIT = "top-class hit"
METRICS = {"TV": "tv", "Chebyshev": "chebyshev", "KL": "kl", HIT: "top_hit"}
"""Metric of a finding -> its field in the scores. All but the last are distances: 0 is exact."""

GAIN = "TV gain over the better guess"


@dataclass(frozen=True, eq=False)
class _Known:
    """Clients of one seed of which something is known: names, true shares [k, C], estimates [k, C], and the prior."""

    names: Sequence[str]
    truth: Float
    shares: Mapping[str, Float]
    prior: Float


def label_findings(study: Study, repetitions: Sequence[Repetition]) -> list[Finding]:
    """Findings of every passive adversary."""
    found: list[Finding] = []
    for adversary, _ in study.seats.labels:
        found += _of_adversary(study, repetitions, adversary)
    return found


def true_shares(game: Game) -> Float:
    """Class histogram [clients, C] of the records that each client trained on, as counts."""
    classes = len(game.dataset.classes)
    rows = [game.dataset.y_train[np.concatenate(folds)] for folds in game.members()]
    return np.stack([np.bincount(labels, minlength=classes) + 0.0 for labels in rows])


def _of_adversary(study: Study, repetitions: Sequence[Repetition], adversary: Adversary) -> list[Finding]:
    known: list[_Known] = []
    observation, told = "", list[tuple[str, ...]]()
    loaded = of_all([load_label_shares(labels_path(repetition.place, adversary)) for repetition in repetitions])
    if isinstance(loaded, str):
        return [_failed(adversary, study.attack.level, loaded)]
    for repetition, estimates in zip(repetitions, loaded, strict=True):
        observation = estimates.observation
        told.append(estimates.notes)
        known.append(_known(estimates, true_shares(repetition.game)))
    scores = {name: _joined([compare_labels(one.truth, one.shares[name]) for one in known]) for name in known[0].shares}
    alpha = study.federation.data.alpha
    draw = seeds.numpy_generator(study.roots[0], "labels", "chance")
    guesses = [chance_labels(one.truth, one.prior, alpha, draw) for one in known]
    uniform, prior = (_joined([guess[kind] for guess in guesses]) for kind in ("uniform", "prior"))
    chance = {
        "uniform guess": uniform,
        "public prior": prior,
        f"random guess (Dirichlet {alpha:g})": _joined([guess["dirichlet"] for guess in guesses]),
    }
    names = [name for one in known for name in one.names]
    write = _Writer(study.attack.level, adversary, observation, names, (uniform, prior))
    found: list[Finding] = []
    notes = "; ".join(of_seeds(told))
    for name, own in scores.items():
        found += write.rows(name, own, name == _headline(scores), notes)
    for name, own in chance.items():
        found += write.rows(name, own, False, "looks at no message", gain=False)
    if len(repetitions) == 1:
        found += write.by_client(_headline(scores), scores[_headline(scores)])
    return found


def _headline(scores: Mapping[str, LabelScores]) -> str:
    """The estimator that was declared before: the bias of plain gradients, else ``mean_softmax``, else the first."""
    return next((name for name in (BIAS, HEADLINE) if name in scores), next(iter(scores)))


def _known(estimates: LabelEstimates, truth: Float) -> _Known:
    some = next(iter(estimates.shares.values()))
    rows = np.flatnonzero(~np.isnan(some).any(axis=1) & (truth.sum(axis=1) > 0))
    shares = {
        name: np.where(np.isnan(values[rows]), 1 / truth.shape[1], values[rows])
        for name, values in estimates.shares.items()
    }
    return _Known([client_name(int(row)) for row in rows], truth[rows], shares, estimates.prior)


def _joined(parts: Sequence[LabelScores]) -> LabelScores:
    return LabelScores(**{field: np.concatenate([vars(part)[field] for part in parts]) for field in vars(parts[0])})


@dataclass(frozen=True, eq=False)
class _Writer:
    level: float
    adversary: Adversary
    observation: str
    names: Sequence[str]
    blind: tuple[LabelScores, LabelScores]
    """The uniform guess and the public prior; the better of them is chance."""

    def rows(self, estimator: str, scores: LabelScores, headline: bool, note: str, gain: bool = True) -> list[Finding]:
        """One finding a metric, mean over clients; and the gain in TV."""
        found = []
        for metric, field in METRICS.items():
            values, level = getattr(scores, field), self.level
            if metric == HIT:
                estimate = share_interval(values, level)
            else:
                estimate = mean_interval(values, level, (0.0, math.inf if metric == "KL" else 1.0))
            found.append(self._whole(estimator, metric, estimate, self._chance(metric), headline, note))
        if gain:
            better = gain_over_best(scores.tv, [one.tv for one in self.blind], self.level)
            found.append(self._whole(estimator, GAIN, better, 0.0, headline, note))
        return found

    def by_client(self, estimator: str, scores: LabelScores) -> list[Finding]:
        """TV of each client alone; a single number has no interval."""
        base = min(self.blind, key=lambda one: float(one.tv.mean())).tv
        return [
            self._finding(estimator, "TV", name, float(tv), float(theirs), None, None, 1, True, "")
            for name, tv, theirs in zip(self.names, scores.tv, base, strict=True)
        ]

    def _chance(self, metric: str) -> float:
        best = max if metric == HIT else min
        return best(float(getattr(one, METRICS[metric]).mean()) for one in self.blind)

    def _whole(
        self, estimator: str, metric: str, estimate: Interval, chance: float, headline: bool, note: str
    ) -> Finding:
        low, high = (None, None) if len(self.names) == 1 else (estimate.low, estimate.high)
        number = len(self.names)
        return self._finding(
            estimator, metric, "all clients", estimate.value, chance, low, high, number, headline, note
        )

    def _finding(
        self,
        estimator: str,
        metric: str,
        target: str,
        value: float,
        chance: float,
        low: float | None,
        high: float | None,
        n: int,
        headline: bool,
        note: str,
    ) -> Finding:
        return Finding(
            "labels",
            self.observation,
            estimator,
            str(self.adversary),
            target,
            metric,
            value,
            chance,
            low,
            high,
            self.level,
            n,
            headline=headline,
            note=note,
        )


def _failed(adversary: Adversary, level: float, cause: str) -> Finding:
    return Finding(
        "labels",
        "label distribution",
        HEADLINE,
        str(adversary),
        "all clients",
        "TV",
        None,
        None,
        None,
        None,
        level,
        0,
        flag="error",
        headline=True,
        note=cause,
    )
