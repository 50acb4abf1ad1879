"""Nearest-neighbour resizing agrees with Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fedprivacy.data.images import nearest


@pytest.mark.parametrize(("height", "width", "size"), [(28, 28, 14), (28, 28, 32), (8, 8, 28), (33, 20, 12), (5, 7, 5)])
def test_nearest_is_pillows(height: int, width: int, size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 1, height, width), dtype=np.uint8)
    out = nearest(images, size)
    assert out.shape == (3, 1, size, size) and out.dtype == np.uint8
    rows, columns = ([i for i in range(size) if (2 * i + 1) * side % (2 * size)] for side in (height, width))
    rows, columns = rows or list(range(size)), columns or list(range(size))
    for source, made in zip(images, out, strict=True):
        expected = np.asarray(Image.fromarray(source[0]).resize((size, size), Image.Resampling.NEAREST))
        assert np.array_equal(made[0][np.ix_(rows, columns)], expected[np.ix_(rows, columns)])


def test_a_centre_on_a_border_takes_the_later_pixel() -> None:
    row = np.arange(4, dtype=np.uint8)
    assert nearest(np.tile(row, (1, 1, 4, 1)), 2)[0, 0, 0].tolist() == [1, 3]


def test_the_same_size_is_the_same_array() -> None:
    images = np.zeros((2, 3, 9, 9), dtype=np.uint8)
    assert nearest(images, 9) is images


def test_rows_are_no_images() -> None:
    with pytest.raises(ValueError, match="expected"):
        nearest(np.zeros((2, 9)), 4)
