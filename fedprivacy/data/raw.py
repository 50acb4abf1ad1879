"""What a reader hands over before the records are split, standardised and cleared of duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Records and labels: images uint8 [N, channels, height, width] or features float32 [N, d]; labels [N]."""

    x: Array
    y: Labels

    def take(self, ids: NDArray[np.int64]) -> Part:
        """The records at these positions, copied; the same part where ``ids`` names every position in order."""
        if len(ids) == len(self.y) and bool((ids == np.arange(len(ids))).all()):
            return self
        return Part(self.x[ids], self.y[ids])


@dataclass(frozen=True, eq=False)
class Raw:
    """A source as read. ``test`` is None where the source has no test set of its own."""

    train: Part
    test: Part | None
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
