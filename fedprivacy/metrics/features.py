"""How many features of a row a reconstruction gets right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fedprivacy.metrics.scores import Float

NEAR = 0.05


def feature_accuracy(guesses: ArrayLike, truths: ArrayLike, binary: ArrayLike) -> Float:
    """Share [B] of features of ``truths`` [B, d] that ``guesses`` [B, d] have right; features scaled to [0, 1].

    A feature marked ``binary`` [d] is right if it rounds to the truth, any other within 0.05 of its range.
    """
    found, known = (np.asarray(v, dtype=np.float64) for v in (guesses, truths))
    if found.shape != known.shape or found.ndim != 2:
        raise ValueError(f"need two equal [B, d] tables, got {found.shape} and {known.shape}.")
    near = np.abs(found - known)
    right = np.where(np.asarray(binary, dtype=bool), near < 0.5, near <= NEAR)
    share: Float = right.mean(axis=1)
    return share


def prior_row(public: ArrayLike) -> Float:
    """The guess [d] that looks at nothing: the median of each feature of ``public`` [n, d], the majority if binary.

    The lower of two middle values: a binary feature that is split in half must not be guessed as neither.
    """
    row: Float = np.quantile(np.asarray(public, dtype=np.float64), 0.5, axis=0, method="lower")
    return row
