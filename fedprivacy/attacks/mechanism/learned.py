"""A classifier on the other statistics and on the output itself: for shapes that nobody foresaw.

Gradient boosted trees on histograms (Friedman 2001), as in scikit-learn, fitted to calls that the other statistics did
not see. Where an output has many coordinates, those whose means differ most, and summaries of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from fedprivacy.metrics.scores import Float, Int

if TYPE_CHECKING:
    from fedprivacy.attacks.mechanism.statistic import Statistic

COORDINATES = 16
TREES, LEAVES = 60, 8


@dataclass(frozen=True, eq=False)
class Learned:
    """Log odds of "second" by the classifier."""

    plain: Sequence[Statistic]
    kept: Int
    centre: Float
    model: Any
    name: str = "learned"

    def score(self, outputs: Float) -> Float:
        if self.model is None:
            return np.zeros(len(outputs))
        return np.asarray(self.model.decision_function(_features(self, outputs)), dtype=np.float64)


def learned(plain: Sequence[Statistic], first: Float, second: Float, rng: np.random.Generator) -> Learned:
    """Fitted to outputs [n0, d] and [n1, d]; without any where a side has fewer than ten."""
    both = np.concatenate([first, second])
    centre = both.mean(axis=0)
    spread = both.std(axis=0)
    gap = np.abs(second.mean(axis=0) - first.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    kept = np.sort(np.argsort(-gap, kind="stable")[:COORDINATES])
    blank = Learned(plain, kept, centre, None)
    if min(len(first), len(second)) < 10:
        return blank
    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        learning_rate=0.1,
        early_stopping=False,
        random_state=int(rng.integers(2**31)),
    )
    model.fit(_features(blank, both), np.repeat([0, 1], [len(first), len(second)]))
    return Learned(plain, kept, centre, model)


def _features(of: Learned, outputs: Float) -> Float:
    away = outputs - of.centre
    norm = np.linalg.norm(away, axis=1)
    largest = np.abs(away).max(axis=1)
    still = (outputs == 0).sum(axis=1)
    return np.column_stack([*(one.score(outputs) for one in of.plain), norm, largest, still, outputs[:, of.kept]])
