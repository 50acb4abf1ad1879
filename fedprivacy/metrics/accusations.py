"""Which records may be called members, at a stated false discovery rate.

A score is turned into a conformal p-value against records that are known not to be members, and the p-values go through
Benjamini and Hochberg's procedure. The share of non-members among those accused is then at most the stated rate, on
average over the coins, for any score and any dependence that treats known and unknown non-members alike (S. Bates et
al., "Testing for outliers with conformal p-values", 2023, theorem 2; A. Marandon et al., "Adaptive novelty detection
with false discovery rate guarantee", 2024, theorem 3.1; for membership: arXiv 2510.09717).

What is controlled is the share over all that are accused. It is no statement on each record alone: one that looks like
a member whenever it is left out is accused too often, another never (arXiv 2605.25819 on rates that are pooled over
records). Scores that are set against the same record's references come nearer to each record.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fedprivacy.metrics.scores import Bool, Float


def conformal_p_values(scores: ArrayLike, known: ArrayLike) -> Float:
    """P-values [n] of ``scores`` [n] against the scores ``known`` [m] of non-members; higher says member.

    ``(1 + number of known at least as high) / (m + 1)``: ties count against an accusation. Raises ValueError on NaN, or
    without a known non-member.
    """
    found, null = np.asarray(scores, dtype=np.float64), np.sort(np.asarray(known, dtype=np.float64))
    if found.ndim != 1 or null.ndim != 1 or not len(null):
        raise ValueError(f"need [n] scores and [m >= 1] known non-members, got {found.shape} and {null.shape}.")
    if np.isnan(found).any() or np.isnan(null).any():
        raise ValueError("a score is NaN.")
    as_high = len(null) - np.searchsorted(null, found, side="left")
    values: Float = np.asarray((1.0 + as_high) / (len(null) + 1.0), dtype=np.float64)
    return values


def benjamini_hochberg(p_values: ArrayLike, rate: float) -> Bool:
    """Which of [n] hypotheses are rejected at false discovery rate ``rate`` in (0, 1).

    The largest k with ``p_(k) <= rate * k / n`` decides (Y. Benjamini, Y. Hochberg, 1995, equation 1).
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not 0 < rate < 1:
        raise ValueError(f"a false discovery rate lies between 0 and 1, got {rate}.")
    ordered = np.sort(values)
    steps = rate * np.arange(1, len(values) + 1) / max(1, len(values))
    below = np.flatnonzero(ordered <= steps * (1 + 1e-12))  # p-values are fractions, and ties are not lost to rounding
    rejected: Bool = values <= ordered[below[-1]] if len(below) else np.zeros(len(values), dtype=np.bool_)
    return rejected
