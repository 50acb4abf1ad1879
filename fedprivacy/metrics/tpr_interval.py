"""Intervals of the TPR at a population FPR, and of the FPR that a chosen threshold really spends.

The threshold is itself estimated from the non-members. An interval on the true positives alone ignores that and
covers far too little at a low FPR. Here two order statistics of the non-members bracket the unknown threshold: the
FPR of "score above the (j+1)-th largest non-member" follows Beta(j+1, n0-j) for any continuous score (Wilks 1941).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincc, betainccinv, betaincinv

from fedprivacy.metrics.intervals import Interval, binomial_lower, binomial_upper, check_level
from fedprivacy.metrics.roc import TprAtFpr, allowed_false_positives
from fedprivacy.metrics.scores import as_scores


@lru_cache(maxsize=4096)
def _brackets(n0: int, fpr: float, tail: float) -> tuple[int, int]:
    """(j_lo, j_hi): ranks whose FPR is below ``fpr``, above ``fpr``, each but for probability ``tail``.

    j_lo is -1 and j_hi is n0 where no such rank exists.
    """
    ranks = range(n0)
    low = bisect_right(ranks, tail, key=lambda j: float(betaincc(j + 1, n0 - j, fpr))) - 1
    high = bisect_left(ranks, -tail, key=lambda j: -float(betainc(j + 1, n0 - j, fpr)))
    return low, high


def tpr_interval(members: ArrayLike, non_members: ArrayLike, fpr: float, level: float = 0.95) -> Interval:
    """TPR at population FPR ``fpr`` with an interval that holds for every score distribution (conservative).

    A quarter of the error goes to each of the two thresholds and the two Clopper-Pearson bounds. With ties it speaks
    of the strictest rule "score > t" whose FPR is at most ``fpr``. Non-members must be different records. The value
    is the TPR at the empirical threshold, whatever its resolution. NaN raises ValueError.
    """
    tail = check_level(level) / 4
    in_scores = as_scores(members, "scores of members")
    out_scores = np.sort(as_scores(non_members, "scores of non-members"))[::-1]
    allowed = allowed_false_positives(out_scores.size, fpr)
    j_low, j_high = _brackets(out_scores.size, fpr, tail)
    hits = [int((in_scores > out_scores[j]).sum()) if 0 <= j < out_scores.size else 0 for j in (j_low, j_high)]
    low = float(binomial_lower(hits[0], in_scores.size, tail)) if j_low >= 0 else 0.0
    high = float(binomial_upper(hits[1], in_scores.size, tail)) if j_high < out_scores.size else 1.0
    value = float((in_scores > out_scores[allowed]).mean())
    return Interval(value, low, high, level, "order statistics")


def tpr_bootstrap(
    members: ArrayLike,
    non_members: ArrayLike,
    fpr: float,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Stratified percentile bootstrap of the TPR at ``fpr``: narrower, and approximate (covers .93 to .98 of .95).

    Drawn without resampling a single score: the (a+1)-th largest of n0 draws with replacement has index
    floor(n0 * Beta(a+1, n0-a)) among the sorted non-members, and the members above it are then binomial.
    """
    tail = check_level(level) / 2
    in_scores = np.sort(as_scores(members, "scores of members"))
    out_scores = np.sort(as_scores(non_members, "scores of non-members"))[::-1]
    n1, n0 = in_scores.size, out_scores.size
    allowed = allowed_false_positives(n0, fpr)
    place = np.minimum((n0 * rng.beta(allowed + 1, n0 - allowed, size=resamples)).astype(np.int64), n0 - 1)
    above = n1 - np.searchsorted(in_scores, out_scores[place], side="right")
    rates = rng.binomial(n1, above / n1) / n1
    low, high = np.quantile(rates, [tail, 1 - tail])
    value = float((in_scores > out_scores[allowed]).mean())
    return Interval(value, float(low), float(high), level, "stratified bootstrap", "approximate")


def spent_fpr(point: TprAtFpr, level: float = 0.95) -> Interval:
    """The population FPR that the threshold of ``point`` really spends: quantiles of Beta(a+1, n0-a).

    a = floor(fpr * n0) is fixed by the rule. With ties at the threshold the interval lies too high, never too low.
    """
    tail = check_level(level) / 2
    allowed = allowed_false_positives(point.n0, point.fpr)
    low = float(betaincinv(allowed + 1, point.n0 - allowed, tail))
    high = float(betainccinv(allowed + 1, point.n0 - allowed, tail))
    return Interval(point.false_positives / point.n0, low, high, level, "order statistic")
