"""Means and within-candidate variances over the references that did, or did not, train on each candidate.

Fixed variance is the pooled spread of each candidate's references about that candidate's own mean (the "fixed
variance" of Carlini et al. 2022): never the spread over candidates, which mixes in how hard each record is.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int

Variance = Literal["auto", "fixed", "per-candidate"]

FEW = 64
"""Below this many references a candidate's own variance is too noisy, and ``auto`` pools it."""


def kept(values: Float, mask: Bool) -> Float:
    """``np.where(mask, values, 0.0)`` of float64, to the bit, in a seventh of its time where the mask is random."""
    return (values.view(np.int64) & -mask.astype(np.int64)).view(np.float64)


def masked_mean(values: Float, mask: Bool) -> tuple[Float, Int]:
    """Mean over the references in ``mask``, [S, ...] -> [...], and how many there were; 0 where there were none."""
    count = mask.sum(axis=0)
    total = kept(values, mask).sum(axis=0)
    return np.asarray(total / np.maximum(count, 1)), np.asarray(count, dtype=np.int64)


def fill_empty(mean: Float, count: Int, labels: Int) -> Float:
    """``mean`` [..., n] with the class mean where ``count`` is 0, or the overall mean if the whole class has none.

    Raises ValueError if no candidate has a reference of this kind.
    """
    empty = count == 0
    if not empty.any():
        return mean
    if mean.ndim > 1:
        return np.stack([fill_empty(*row, labels) for row in zip(mean, count, strict=True)])
    known = ~empty
    if not known.any():
        raise ValueError("no candidate has a reference of this kind")
    filled = np.where(empty, mean[known].mean(), mean)
    for label in np.unique(labels[empty]):
        peers = known & (labels == label)
        if peers.any():
            filled[empty & (labels == label)] = mean[peers].mean()
    return np.asarray(filled)


def squared_residuals(values: Float, mask: Bool, mean: Float) -> Float:
    """Sum of squares about the candidate's own mean, [S, ...] -> [...]."""
    return np.asarray(kept((values - mean) ** 2, mask).sum(axis=0))


def moments(values: Float, mask: Bool) -> tuple[Float, Float, Int]:
    """Mean, sum of squares about it, and number of the references in ``mask``, [S, ...] -> [...] each."""
    mean, count = masked_mean(values, mask)
    return mean, squared_residuals(values, mask, mean), count


def pooled_variance(squares: Float, count: Int) -> Float:
    """``sum_i SS_i / sum_i (n_i - 1)``, [..., n] -> [...]; 0 where no candidate has two references."""
    freedom = np.maximum(count - 1, 0).sum(axis=-1)
    return np.asarray(np.where(freedom > 0, squares.sum(axis=-1) / np.maximum(freedom, 1), 0.0))


def spread(squares: Float, count: Int, references: int, variance: Variance, fallback: Float | float = 0.0) -> Float:
    """Standard deviations [..., n], one for all candidates under ``fixed``, which ``auto`` means below 64 references.

    ``per-candidate`` divides by n - 1 and falls back to the pooled value below two references or at zero spread. Where
    no candidate has two references, or all agree exactly, it is ``fallback`` [...] (a variance), else 1: then only
    differences of the mean are ranked.
    """
    pooled = pooled_variance(squares, count)
    pooled = np.where(pooled != 0, pooled, np.where(np.equal(fallback, 0), 1.0, fallback))[..., None]
    if variance == "fixed" or (variance == "auto" and references < FEW):
        return np.broadcast_to(np.sqrt(pooled), count.shape)
    own = squares / np.maximum(count - 1, 1)
    return np.sqrt(np.where((count >= 2) & (own > 0), own, pooled))
