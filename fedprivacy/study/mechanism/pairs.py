"""Two neighbouring inputs at a stated distance, for a mechanism of which only its sensitivity is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from fedprivacy.config.base import UsageError
from fedprivacy.metrics.scores import Float

Norm = Literal["l1", "l2", "linf"]
NORMS: tuple[Norm, ...] = get_args(Norm)


def worst_pairs(sensitivity: float, shape: tuple[int, ...], norm: Norm) -> Mapping[str, tuple[Float, Float]]:
    """Pairs of arrays of ``shape`` at distance ``sensitivity`` in ``norm``, by what they are in words.

    One coordinate that takes all of it, or all coordinates alike; from zero, or on both sides of zero. Which tells a
    mechanism's noise apart best depends on the norm and on the noise: an L1 budget is worst on one coordinate, an
    L-infinity budget on all. UsageError for a distance or a shape that is none.
    """
    if not (math.isfinite(sensitivity) and sensitivity > 0):
        raise UsageError(f"--sensitivity: a finite number above 0, and {sensitivity:g} is none.")
    if norm not in NORMS:
        raise UsageError(f"--norm: one of {', '.join(NORMS)}, not '{norm}'.")
    if not shape or min(shape) < 1:
        raise UsageError("--shape: every size is at least 1.")
    size = math.prod(shape)
    one = np.zeros(size)
    one[0] = sensitivity
    share = {"l1": sensitivity / size, "l2": sensitivity / math.sqrt(size), "linf": sensitivity}[norm]
    directions = {"one coordinate": one}
    if size > 1:
        directions["all coordinates"] = np.full(size, share)
    found = {}
    for words, far in directions.items():
        found[f"{words}, from 0"] = (np.zeros(shape), far.reshape(shape))
        found[f"{words}, on both sides of 0"] = (-far.reshape(shape) / 2, far.reshape(shape) / 2)
    return found
