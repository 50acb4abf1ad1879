"""Interval of an AUC: DeLong's variance, on the logit scale.

E. DeLong, D. DeLong, D. Clarke-Pearson, "Comparing the Areas under Two or More Correlated Receiver Operating
Characteristic Curves" (1988). On the plain scale the interval covers too little near 0 and 1; the logit mends it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from fedprivacy.metrics.intervals import Interval, check_level
from fedprivacy.metrics.scores import as_scores, placements

METHOD = "DeLong, logit scale"


def auc_interval(members: ArrayLike, non_members: ArrayLike, level: float = 0.95) -> Interval:
    """AUC of ``members`` [n1] over ``non_members`` [n0] with its interval; higher says member. NaN raises.

    Perfect separation has no variance: with k = min(n1, n0), the lower end is (alpha/2)^(1/k), which one would need
    to see k independent pairs all in order, and mirrored for an AUC of 0. A constant score, or a group of one, says
    nothing: [0, 1]. These are the only cases where the variance is zero or undefined.
    """
    tail = check_level(level) / 2
    in_scores = np.sort(as_scores(members, "scores of members"))
    out_scores = np.sort(as_scores(non_members, "scores of non-members"))
    of_members = placements(in_scores, out_scores)
    of_others = placements(out_scores, in_scores)
    area = float(of_members.mean())
    pairs = min(in_scores.size, out_scores.size)
    if of_members.min() == 1.0:
        return Interval(1.0, tail ** (1 / pairs), 1.0, level, METHOD, "perfect separation")
    if of_members.max() == 0.0:
        return Interval(0.0, 0.0, 1 - tail ** (1 / pairs), level, METHOD, "perfect separation, reversed")
    if np.ptp(of_members) == 0.0 and np.ptp(of_others) == 0.0:
        return Interval(area, 0.0, 1.0, level, METHOD, "constant score")
    if pairs < 2:
        return Interval(area, 0.0, 1.0, level, METHOD, "a group of one has no spread")
    error = math.sqrt(of_members.var(ddof=1) / in_scores.size + of_others.var(ddof=1) / out_scores.size)
    centre = math.log(area / (1 - area))
    half = float(ndtri(1 - tail)) * error / (area * (1 - area))
    return Interval(area, _logistic(centre - half), _logistic(centre + half), level, METHOD)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
