"""Records from Python objects are those of a file of the same content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from fedprivacy.config.base import UsageError
from fedprivacy.data.npz_file import from_arrays, read_npz
from fedprivacy.data.outside import arrays_of, raw_of

X = np.random.default_rng(0).integers(0, 256, (12, 3, 4, 4), dtype=np.uint8)
Y = np.arange(12) % 3


class Pictures(Dataset[Any]):
    """As torchvision gives them: floats in [0, 1], channels first, and a plain number."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index >= len(X):
            raise IndexError
        return torch.from_numpy(X[index]).float() / 255, int(Y[index])


@pytest.mark.parametrize(
    "given",
    [
        (X, Y),
        (torch.from_numpy(X), torch.from_numpy(Y)),
        (torch.from_numpy(X).float() / 255, torch.from_numpy(Y)),
        (X.transpose(0, 2, 3, 1), np.eye(3)[Y]),
        {"features": X, "labels": Y},
        Pictures(),
        TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
        {"data": X, "target": Y, "frame": None, "DESCR": "as scikit-learn bundles it"},
        (X.tolist(), Y.tolist()),
    ],
)
def test_every_form_gives_the_same_records(given: Any) -> None:
    expected, raw = from_arrays({"x": X, "y": Y}, "data"), raw_of(given, "made")
    assert np.array_equal(raw.train.x, expected.train.x) and np.array_equal(raw.train.y, expected.train.y)
    assert raw.classes == expected.classes


def test_a_test_set_beside_it() -> None:
    for given in (
        (X, Y, X[:6], Y[:6]),
        ((X, Y), (X[:6], Y[:6])),
        (TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), Pictures()),
    ):
        raw = raw_of(given, "made")
        assert raw.test is not None and np.array_equal(raw.test.x[:6], X[:6])
    frame = pd.DataFrame({"a": [1, 2], "y": [0, 1]})
    for frames in (frame, (frame, frame)):
        raw = raw_of(frames, "made", "y")
        assert raw.train.x.tolist() == [[1], [2]] and list(frame.columns) == ["a", "y"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "data made: it is a int; expected (x, y)"),
        ([1, 2, 3], "data made: it is a list; expected"),
        ((torch.randn(3, 3, 4, 4), torch.arange(3)), "undo any normalisation"),
    ],
)
def test_a_mistake_is_one_line(given: Any, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        raw_of(given, "made")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_frames_and_texts_are_arrays_that_a_file_can_hold(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 1], "b": ["u", "v", "u"], "who": ["one", "two", "one"]})
    for given, label in ((frame, "who"), ((frame, frame), "who"), (([[1], [2], [1]], list(frame["who"])), None)):
        arrays = arrays_of(given, "made", label)
        assert not [name for name, array in arrays.items() if array.dtype.kind == "O"]
        np.savez(tmp_path / "made.npz", **arrays)
        raw, again = raw_of(given, "made", label), read_npz(tmp_path / "made.npz")
        assert raw.classes == again.classes == ("one", "two")
        assert np.array_equal(raw.train.x, again.train.x) and (raw.test is None) == (again.test is None)
    with pytest.raises(UsageError, match="say which column is the class"):
        arrays_of(frame, "made")


def test_half_precision_tensors() -> None:
    values = torch.tensor([[0.5, 1.0], [2.0, 3.0]])
    for kind in (torch.bfloat16, torch.float16):
        x = arrays_of((values.to(kind), torch.arange(2)), "made")["x"]
        assert x.astype(np.float64).tolist() == values.tolist()
