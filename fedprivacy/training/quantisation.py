"""Quantisation of class probabilities to a grid that still sums to one (Sattler et al., arXiv 2012.00632).

The grid is ``{0, 1/(2^b - 1), ..., 1}^C`` with sum 1. A point on it is held as whole numbers that sum to ``2^b - 1``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.int64]


def quantised(probabilities: NDArray[np.floating], bits: int, draw: np.random.Generator) -> Levels:
    """The nearest grid point (L1) to each row of ``probabilities`` [N, C], as levels [N, C].

    Largest remainders: round down, then give what is missing to the largest remainders. Ties fall at random, from
    ``draw``. With 1 bit this is the most likely class.
    """
    steps = 2**bits - 1
    rows = np.asarray(probabilities, dtype=np.float64)
    scaled = steps * rows / rows.sum(axis=1, keepdims=True)
    levels = np.floor(scaled).astype(np.int64)
    missing = steps - levels.sum(axis=1)
    ranks = np.lexsort((draw.random(rows.shape), levels - scaled), axis=1).argsort(axis=1)
    return np.asarray(levels + (ranks < missing[:, None]), dtype=np.int64)


def dequantised(levels: Levels, bits: int) -> NDArray[np.float32]:
    """Probabilities [N, C] of grid points."""
    return np.asarray(levels / (2**bits - 1), dtype=np.float32)
