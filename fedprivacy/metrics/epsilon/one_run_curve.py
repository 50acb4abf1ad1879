"""One training run held against a whole trade-off curve.

Mahloujifar, Melis, Chaudhuri, "Auditing f-Differential Privacy in One Run" (2024), arXiv 2410.22235. Where what is
claimed is a curve, as an accountant has one, the test needs nothing beyond fair independent coins, and it is stronger
than that of the single pair (epsilon, delta) which the curve implies.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedprivacy.metrics.epsilon.one_run import check_counts
from fedprivacy.metrics.epsilon.trade_off import TradeOff


def refutes(m: int, r: int, v: int, curve: TradeOff, error: float) -> bool:
    """Whether ``v`` right of ``r`` guesses on ``m`` canaries refute ``curve`` at one-sided ``error``.

    If v or more right had probability ``error``, the curve would force wrong and right guesses of every lower count
    to fill more than the r/m that there are. ``right`` and ``wrong`` are those forced masses. Raises ValueError on
    impossible counts.
    """
    check_counts(m, r, v)
    right, wrong = error * v / m, error * (r - v) / m
    for i in range(v - 1, -1, -1):
        forced = max(wrong, float(curve.forced(np.array([right]))[0]))
        if forced == wrong:
            break
        right = min(1.0, right + i / (r - i) * (forced - wrong))
        wrong = forced
    return right + wrong > r / m


def largest_refuted(m: int, r: int, v: int, family: Sequence[tuple[float, TradeOff]], error: float) -> float:
    """Largest epsilon of a ``family`` of curves, each weaker than the one before, that is refuted; 0 if none is.

    ``family``: (epsilon, curve), by rising epsilon. The true bound lies between the result and the next entry, so a
    coarse family only costs strength.
    """
    low, high = 0, len(family)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if refutes(m, r, v, family[middle][1], error) else (low, middle)
    return family[low - 1][0] if low else 0.0
