"""An order of the records in which every stretch holds the classes in nearly their overall proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_order(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A random permutation of range(N) for labels [N], stratified on every contiguous stretch.

    Each class is shuffled, and its i-th record of n gets the key (i + U) / n with U uniform on [0, 1); records are
    sorted by key. A stretch of m records then holds about m n_c / N of a class of n_c, off by at most a few, and
    which records of the class these are is uniform.
    """
    count = len(labels)
    shuffled = rng.permutation(count)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.unique(labels, return_counts=True)[1]
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    keys = (np.arange(count) - starts + rng.random(count)) / np.repeat(sizes, sizes)
    return np.asarray(by_class[np.argsort(keys, kind="stable")], dtype=np.int64)
