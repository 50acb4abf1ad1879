"""Scores of candidates: checked vectors, the two groups that the coins make of them, and mid-ranks.

A score orders candidates, higher says member. Only the order counts, so infinities are legal; NaN orders nothing and
is refused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]


def as_scores(values: ArrayLike, name: str = "scores") -> Float:
    """``values`` as a non-empty float64 vector; raises ValueError on another shape or on NaN."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"{name} must be a non-empty vector, got shape {scores.shape}.")
    if np.isnan(scores).any():
        raise ValueError(f"{name} hold NaN, which orders nothing.")
    return scores


def as_coins(values: ArrayLike, shape: tuple[int, ...]) -> Bool:
    """``values`` as booleans of ``shape`` (True: trained on); raises ValueError on another type or shape."""
    coins = np.asarray(values)
    if coins.dtype != np.bool_:
        raise ValueError(f"coins must be booleans, got {coins.dtype}.")
    if coins.shape != shape:
        raise ValueError(f"coins have shape {coins.shape}, the scores {shape}.")
    return coins


def by_coin(scores: ArrayLike, coins: ArrayLike) -> tuple[Float, Float]:
    """Scores of the members and of the non-members, from ``scores`` [n] and ``coins`` [n] (True: member).

    Raises ValueError if either group is empty.
    """
    checked = as_scores(scores)
    included = as_coins(coins, checked.shape)
    if included.all() or not included.any():
        raise ValueError(f"all {included.size} coins fell on one side: there is nothing to compare.")
    return checked[included], checked[~included]


def mid_ranks(values: ArrayLike) -> Float:
    """Ranks 1 .. n of ``values`` [n]; tied values share the mean of their ranks."""
    scores = as_scores(values)
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: Float = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


def placements(values: Float, others: Float) -> Float:
    """For each of ``values`` [n], the share of sorted ``others`` below it plus half the share equal to it, in [0, 1].

    The mean over members against non-members is the area under the ROC curve (DeLong et al. 1988, eq. 3-4).
    """
    below = np.searchsorted(others, values, side="left")
    up_to = np.searchsorted(others, values, side="right")
    shares: Float = (below + up_to) / (2.0 * others.size)
    return shares


def midway(distinct: Float) -> Float:
    """For sorted distinct scores [k], the thresholds [k] halfway to the next score above, the last one unmoved.

    The rule "score > threshold" calls the same scores members, and carries over better to scores not seen yet.
    Where there is no number in between, or an infinite end, the score itself stays.
    """
    above = np.append(distinct[1:], np.inf)
    ends = np.isfinite(distinct) & np.isfinite(above)
    halfway = np.where(ends, distinct, 0.0) / 2 + np.where(ends, above, 0.0) / 2
    thresholds: Float = np.where(ends & (halfway > distinct) & (halfway < above), halfway, distinct)
    return thresholds
