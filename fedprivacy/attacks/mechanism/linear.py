"""Linear statistics of outputs: along the difference of the inputs, weighed by the noise, and by its covariance.

Under Gaussian noise of covariance C the best test of two inputs is linear, with weights ``C^-1`` times the difference
of the means (Neyman and Pearson 1933). The projection needs nothing but the inputs; the others learn C.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedprivacy.metrics.scores import Float

MOST_JOINT = 64
FEWEST_A_COORDINATE = 10
"""Calls for each coordinate, below which a covariance is not learned."""


@dataclass(frozen=True, eq=False)
class Linear:
    """``outputs @ weights``."""

    name: str
    weights: Float

    def score(self, outputs: Float) -> Float:
        return np.asarray(outputs @ self.weights)


def projection(first: Float, second: Float, difference: Float | None) -> Linear:
    """Along the ``difference`` [d] of the inputs, or of the mean outputs where that has another shape or is unknown."""
    return Linear("projection", _direction(first, second, difference))


def weighted(first: Float, second: Float, difference: Float | None) -> Linear:
    """The same, each coordinate over the variance of its noise: finds those that got less noise than others."""
    variance = (first.var(axis=0) + second.var(axis=0)) / 2
    largest = float(variance.max(initial=0.0))
    floor = np.finfo(np.float64).eps * largest if largest > 0 else 1.0
    return Linear("weighted", _direction(first, second, difference) / np.maximum(variance, floor))


def joint(first: Float, second: Float) -> Linear | None:
    """The linear discriminant of all coordinates together; None where they are too many for the calls."""
    calls, size = min(len(first), len(second)), first.shape[1]
    if not 1 < size <= min(MOST_JOINT, calls // FEWEST_A_COORDINATE):
        return None
    covariance = (np.cov(first, rowvar=False) + np.cov(second, rowvar=False)) / 2
    gap = second.mean(axis=0) - first.mean(axis=0)
    # A direction without noise has no inverse; a trace of noise stands for it, and any where there is none at all.
    noise = float(np.trace(covariance)) / size
    ridge = 1e-9 * noise if noise > np.finfo(np.float64).tiny / 1e-12 else 1.0
    return Linear("joint", np.linalg.solve(covariance + ridge * np.eye(size), gap))


def _direction(first: Float, second: Float, difference: Float | None) -> Float:
    gap = second.mean(axis=0) - first.mean(axis=0)
    if difference is None or difference.shape != gap.shape:
        return np.asarray(gap)
    return np.asarray(difference * (-1.0 if float(difference @ gap) < 0 else 1.0))
