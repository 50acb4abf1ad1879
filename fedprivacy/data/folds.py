"""Gupta's layout: the training set in (clients + 1) * rounds + 1 stratified folds (Gupta 2025, arXiv 2503.05803)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedprivacy.data.records import Ids


def stratified_folds(labels: NDArray[np.int64], count: int, rng: np.random.Generator) -> tuple[Ids, ...]:
    """Positions of ``labels`` [N] in ``count`` disjoint folds that together hold every record.

    Each class is shuffled and cut into ``count`` nearly equal parts, the larger ones first; the i-th parts of all
    classes are merged and shuffled. Raises ValueError where ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"a set is cut into at least one fold, got {count}")
    cut = [np.array_split(rng.permutation(np.flatnonzero(labels == label)), count) for label in np.unique(labels)]
    return tuple(rng.permutation(np.concatenate(parts)) for parts in zip(*cut, strict=True))
