"""Values that come back: noise of few distinct values, coordinates without noise, answers that are left out.

A naive Bayes test on the exact value of every coordinate. A value that was seen once says nothing by itself, so
continuous noise gives no score at all; the low bits of floating-point noise (Mironov 2012) are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedprivacy.metrics.scores import Float, Int

SMOOTHING = 0.5


@dataclass(frozen=True, eq=False)
class Values:
    """``known[j]`` [k], sorted, and ``told[j]`` [k + 1]: what each value of coordinate j says, and last any other."""

    known: tuple[Float, ...]
    told: tuple[Float, ...]
    name: str = "values"

    def score(self, outputs: Float) -> Float:
        total = np.zeros(len(outputs))
        for column, known, told in zip(outputs.T, self.known, self.told, strict=True):
            total += told[_place(known, column)]
        return total


def values(first: Float, second: Float) -> Values:
    """Learned from outputs [n0, d] and [n1, d]."""
    known, told = [], []
    for one, other in zip(first.T, second.T, strict=True):
        distinct, number = np.unique(np.concatenate([one, other]), return_counts=True)
        repeated = distinct[number > 1]
        known.append(repeated)
        rates = [
            (np.bincount(_place(repeated, column), minlength=len(repeated) + 1) + SMOOTHING) / (len(column) + 1.0)
            for column in (one, other)
        ]
        told.append(np.log(rates[1] / rates[0]) if len(repeated) else np.zeros(1))
    return Values(tuple(known), tuple(told))


def _place(known: Float, column: Float) -> Int:
    """Position of each value among the ``known`` [k]; k for one that is not."""
    at = np.searchsorted(known, column)
    if not len(known):
        return at
    near = np.minimum(at, len(known) - 1)
    return np.where(known[near] == column, near, len(known))
