"""Nearest-neighbour resizing of image arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest(images: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    """Resize images [N, channels, height, width] to [N, channels, size, size], type kept.

    Takes the source pixel under the centre of each target pixel, the later one where the centre lies on a border;
    Pillow (and Keras, which calls it) does the same but for rounding at such borders. The aspect ratio is not kept.
    Raises ValueError where the input is not four-dimensional or ``size`` is below 1.
    """
    if images.ndim != 4 or size < 1:
        raise ValueError(f"expected [N, channels, height, width] and size >= 1, got {images.shape} and {size}")
    height, width = images.shape[2:]
    if (height, width) == (size, size):
        return images
    rows, columns = (_centres(side, size) for side in (height, width))
    return np.ascontiguousarray(images[:, :, rows[:, None], columns])


def _centres(source: int, target: int) -> NDArray[np.int64]:
    steps = 2 * np.arange(target, dtype=np.int64) + 1
    return np.asarray((steps * source) // (2 * target), dtype=np.int64)
