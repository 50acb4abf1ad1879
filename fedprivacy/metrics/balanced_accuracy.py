"""Balanced accuracy, (TPR + TNR) / 2, with a threshold that has not seen the scores it is judged on.

The best threshold on the same scores looks like leakage where there is none. Its null mean is known, and is printed
with it where that version is printed at all.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fedprivacy.metrics.intervals import Interval, binomial_lower, binomial_upper, check_level
from fedprivacy.metrics.roc import roc_curve
from fedprivacy.metrics.scores import as_scores, midway


def balanced_accuracy(
    members: ArrayLike, non_members: ArrayLike, rng: np.random.Generator, level: float = 0.95
) -> Interval:
    """Balanced accuracy on a random half, at the threshold that is best on the other half. Chance is 0.5.

    ``members`` [n1 >= 2], ``non_members`` [n0 >= 2], higher says member. The interval averages two Clopper-Pearson
    intervals at half the error each, so it holds at ``level``. Raises ValueError on NaN or on a group of one.
    """
    tail = check_level(level) / 4
    in_scores = rng.permutation(as_scores(members, "scores of members"))
    out_scores = rng.permutation(as_scores(non_members, "scores of non-members"))
    if min(in_scores.size, out_scores.size) < 2:
        raise ValueError("a split needs two members and two non-members.")
    in_half, out_half = in_scores.size // 2, out_scores.size // 2
    curve = roc_curve(in_scores[:in_half], out_scores[:out_half])
    thresholds = midway(curve.threshold[::-1])[::-1]
    threshold = thresholds[int(np.argmax(curve.tpr - curve.fpr))]
    hits = np.array([(in_scores[in_half:] > threshold).sum(), (out_scores[out_half:] <= threshold).sum()])
    sizes = np.array([in_scores.size - in_half, out_scores.size - out_half])
    low, high = binomial_lower(hits, sizes, tail).mean(), binomial_upper(hits, sizes, tail).mean()
    return Interval(float((hits / sizes).mean()), float(low), float(high), level, "threshold from the other half")


def best_balanced_accuracy(members: ArrayLike, non_members: ArrayLike) -> float:
    """The maximum over thresholds on the same scores: an optimistic number, see :func:`best_balanced_chance`."""
    curve = roc_curve(members, non_members)
    return 0.5 + 0.5 * float(np.max(curve.tpr - curve.fpr))


def best_balanced_chance(n1: int, n0: int) -> float:
    """Mean of :func:`best_balanced_accuracy` without leakage: 0.5 + sqrt(pi/32) / sqrt(n1 n0 / (n1 + n0)).

    Half the mean maximum of a Brownian bridge, sqrt(pi/8) (the one-sided Kolmogorov-Smirnov statistic).
    """
    if n1 < 1 or n0 < 1:
        raise ValueError(f"both groups need a candidate, got {n1} and {n0}.")
    return min(1.0, 0.5 + math.sqrt(math.pi / 32) / math.sqrt(n1 * n0 / (n1 + n0)))
