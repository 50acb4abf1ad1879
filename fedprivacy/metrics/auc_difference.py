"""Difference of two AUCs measured on the same candidates: DeLong's paired variance.

E. DeLong, D. DeLong, D. Clarke-Pearson (1988), eq. 5: the placements of both scores are correlated, since the
candidates and coins are the same, so the variance is that of the difference of the placements.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from fedprivacy.metrics.intervals import Interval, check_level
from fedprivacy.metrics.scores import Bool, Float, as_coins, as_scores, placements


def auc_difference(first: ArrayLike, second: ArrayLike, coins: ArrayLike, level: float = 0.95) -> Interval:
    """AUC of ``first`` minus AUC of ``second``, scores [n] of the same candidates with ``coins`` [n] (True: member).

    Normal interval on the plain scale, cut to [-1, 1]. Raises ValueError if a group has fewer than two candidates.
    """
    tail = check_level(level) / 2
    left, right = as_scores(first), as_scores(second)
    if left.shape != right.shape:
        raise ValueError(f"scores of the same candidates are needed, got {left.shape} and {right.shape}.")
    included = as_coins(coins, left.shape)
    if min(included.sum(), (~included).sum()) < 2:
        raise ValueError("each group needs two candidates.")
    of_members = _placed(left, included) - _placed(right, included)
    of_others = _placed(left, ~included) - _placed(right, ~included)
    difference = float(of_members.mean())
    error = math.sqrt(of_members.var(ddof=1) / included.sum() + of_others.var(ddof=1) / (~included).sum())
    half = float(ndtri(1 - tail)) * error
    low, high = np.clip([difference - half, difference + half], -1.0, 1.0)
    return Interval(difference, float(low), float(high), level, "paired DeLong")


def _placed(scores: Float, chosen: Bool) -> Float:
    return placements(scores[chosen], np.sort(scores[~chosen]))
