"""Records as pixels in [0, 1], and what the model makes of them: the space that reconstructions are scored in.

Images are pixels already. A row of features becomes [d, 1, 1], each feature scaled by its range among public records,
so that one box holds all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedprivacy.data.records import Dataset, Ids

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PixelScale:
    """``shape`` [C, H, W] of one record as pixels; ``input = low + pixel * range``, per channel or one for all."""

    shape: tuple[int, int, int]
    low: tuple[float, ...] = (0.0,)
    range: tuple[float, ...] = (1.0,)

    def pixels(self, x: NDArray[Any]) -> Float:
        """Records as stored [N, ...] as pixels [N, C, H, W]."""
        if x.dtype == np.uint8:
            return np.asarray(x.reshape(len(x), *self.shape) / 255.0, dtype=np.float64)
        rows = x.reshape(len(x), *self.shape).astype(np.float64)
        low, size = (np.asarray(v)[:, None, None] for v in (self.low, self.range))
        return np.asarray((rows - low) / size)


def pixel_scale(dataset: Dataset, public: Ids) -> PixelScale:
    """The scale of a data set; of features, from the ``public`` records alone."""
    if dataset.is_image:
        channels, height, width = dataset.shape
        return PixelScale((channels, height, width))
    rows = dataset.x_train[public].reshape(len(public), -1).astype(np.float64)
    low, high = rows.min(axis=0), rows.max(axis=0)
    size = np.where(high > low, high - low, 1.0)
    return PixelScale((rows.shape[1], 1, 1), tuple(low.tolist()), tuple(size.tolist()))
