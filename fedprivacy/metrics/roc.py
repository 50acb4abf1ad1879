"""ROC curve, area under it, and TPR at a small FPR, without being fooled by ties.

Operating points lie only between distinct scores: a rule cannot tell tied candidates apart, so neither may a metric.
TPR at a low FPR is the measure of Carlini et al., "Membership Inference Attacks From First Principles" (2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fedprivacy.metrics.scores import Float, as_scores

Resolution = Literal["ok", "few", "below"]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Operating points from (0, 0) to (1, 1), all vectors of one length.

    Point i is the rule "member if score > ``threshold[i]``". The last threshold is -inf and stands for "below every
    score". ``false_positives`` and ``true_positives`` are the counts behind ``fpr`` and ``tpr``.
    """

    fpr: Float
    tpr: Float
    threshold: Float
    false_positives: Float
    true_positives: Float


@dataclass(frozen=True)
class TprAtFpr:
    """TPR at the threshold that spends at most ``fpr`` of the non-members.

    ``tpr`` is NaN where ``resolution`` is "below": fewer than one false positive was allowed, so there is no number
    to print. "few" (fewer than ten allowed) is shown but carries no verdict. ``false_positives`` can be smaller than
    fpr * n0, because of ties and of rounding down.
    """

    fpr: float
    tpr: float
    true_positives: int
    false_positives: int
    threshold: float
    n1: int
    n0: int
    resolution: Resolution


def roc_curve(members: ArrayLike, non_members: ArrayLike) -> RocCurve:
    """ROC of scores of ``members`` [n1] and ``non_members`` [n0]; higher says member. NaN raises ValueError."""
    in_scores = np.sort(as_scores(members, "scores of members"))
    out_scores = np.sort(as_scores(non_members, "scores of non-members"))
    distinct = np.unique(np.concatenate([in_scores, out_scores]))[::-1]
    hits = in_scores.size - np.searchsorted(in_scores, distinct, side="right")
    alarms = out_scores.size - np.searchsorted(out_scores, distinct, side="right")
    true_positives = np.append(hits, in_scores.size).astype(np.float64)
    false_positives = np.append(alarms, out_scores.size).astype(np.float64)
    return RocCurve(
        fpr=false_positives / out_scores.size,
        tpr=true_positives / in_scores.size,
        threshold=np.append(distinct, -np.inf),
        false_positives=false_positives,
        true_positives=true_positives,
    )


def auc(members: ArrayLike, non_members: ArrayLike) -> float:
    """P[member scores above non-member] + P[tie] / 2: the Mann-Whitney statistic with mid-ranks.

    ``members`` [n1], ``non_members`` [n0], higher says member. NaN raises ValueError, infinities are legal.
    """
    in_scores = np.sort(as_scores(members, "scores of members"))
    out_scores = np.sort(as_scores(non_members, "scores of non-members"))
    below = int(np.searchsorted(out_scores, in_scores, side="left").sum())
    up_to = int(np.searchsorted(out_scores, in_scores, side="right").sum())
    return (below + up_to) / (2 * in_scores.size * out_scores.size)


def allowed_false_positives(n0: int, fpr: float) -> int:
    """How many of ``n0`` non-members a rule may call members at ``fpr``: the floor, safe against rounding."""
    if not 0 < fpr < 1:
        raise ValueError(f"fpr must lie strictly between 0 and 1, got {fpr}.")
    return math.floor(fpr * n0 + 1e-9)


def resolution(n0: int, fpr: float) -> Resolution:
    """ "below" if fewer than one of ``n0`` non-members is allowed at ``fpr``, "few" if fewer than ten, else "ok"."""
    allowed = allowed_false_positives(n0, fpr)
    return "below" if allowed < 1 else "few" if allowed < 10 else "ok"


def tpr_at_fpr(
    members: ArrayLike, non_members: ArrayLike, fpr: float, distinct_non_members: int | None = None
) -> TprAtFpr:
    """TPR at ``fpr``: with a = floor(fpr * n0), the threshold is the (a+1)-th largest score of a non-member.

    No interpolation and no random tie-break: a candidate is called a member iff its score is above the threshold.
    ``distinct_non_members`` is the number of different records among the non-members, where some are repeated: a
    repeated record adds no resolution. NaN raises ValueError.
    """
    in_scores = as_scores(members, "scores of members")
    out_scores = as_scores(non_members, "scores of non-members")
    n0 = out_scores.size
    records = n0 if distinct_non_members is None else distinct_non_members
    if not 1 <= records <= n0:
        raise ValueError(f"distinct_non_members must lie in 1 .. {n0}, got {records}.")
    place = n0 - 1 - allowed_false_positives(n0, fpr)
    threshold = float(np.partition(out_scores, place)[place])
    hits = int((in_scores > threshold).sum())
    grade = resolution(records, fpr)
    return TprAtFpr(
        fpr=fpr,
        tpr=math.nan if grade == "below" else hits / in_scores.size,
        true_positives=hits,
        false_positives=int((out_scores > threshold).sum()),
        threshold=threshold,
        n1=in_scores.size,
        n0=n0,
        resolution=grade,
    )
