"""The .npz source: forms, labels, categories, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.npz_file import read_npz
from fedprivacy.data.sources import load


def images(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(count).integers(0, 256, (count, 1, 4, 4), dtype=np.uint8)


def good() -> dict[str, Any]:
    return {"x_train": images(8), "y_train": np.arange(8) % 2, "x_test": images(4), "y_test": np.arange(4) % 2}


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path / "data.npz", **arrays)
    return path / "data.npz"


def test_four_arrays(tmp_path: Path) -> None:
    raw = read_npz(save(tmp_path, **good()))
    assert raw.test is not None and np.array_equal(raw.train.x, images(8)) and np.array_equal(raw.test.x, images(4))
    assert raw.classes == ("0", "1") and raw.train.y.dtype == np.int64


def test_two_arrays_are_split_later(tmp_path: Path) -> None:
    path = save(tmp_path, x=images(20), y=np.arange(20) % 4)
    assert read_npz(path).test is None
    dataset = load(DataConfig(dataset="npz", data_dir=str(path), test_fraction=0.2))
    assert dataset.name == "data" and len(dataset.y_train) == 16
    assert sorted(dataset.y_test.tolist()) == [0, 1, 2, 3]


def test_grey_images_without_a_channel_axis(tmp_path: Path) -> None:
    raw = read_npz(save(tmp_path, x=images(6)[:, 0], y=np.arange(6) % 2))
    assert np.array_equal(raw.train.x, images(6))


def test_labels_are_numbered_by_their_order(tmp_path: Path) -> None:
    raw = read_npz(save(tmp_path, **{**good(), "y_train": [5, -1, 5, -1, 5, -1, 9, 9], "y_test": [9, 5, 5, -1]}))
    assert raw.classes == ("-1", "5", "9") and raw.train.y.tolist() == [1, 0, 1, 0, 1, 0, 2, 2]
    assert raw.test is not None and raw.test.y.tolist() == [2, 1, 1, 0]
    raw = read_npz(save(tmp_path, x=images(3), y=np.array(["b", "a", "b"])))
    assert raw.classes == ("a", "b") and raw.train.y.tolist() == [1, 0, 1]


def test_named_classes_are_indexed(tmp_path: Path) -> None:
    raw = read_npz(save(tmp_path, **good(), classes=np.array(["cat", "dog", "emu"])))
    assert raw.classes == ("cat", "dog", "emu") and raw.train.y.max() == 1


def without(*names: str) -> dict[str, Any]:
    return {name: array for name, array in good().items() if name not in names}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (without("y_train", "x_test"), ["no y_train, x_test", "it has x_train, y_test"]),
        ({}, ["no x, y", "it has nothing"]),
        ({"x": images(3)}, ["no y"]),
        ({**good(), "y_train": np.zeros(7, int)}, ["(8, 1, 4, 4)", "(7,)", "do not match"]),
        ({"x": np.zeros((0, 3)), "y": np.zeros(0, int)}, ["N at least 1"]),
        ({**good(), "x_test": images(4)[:, :, :3]}, ["(1, 4, 4)", "(1, 3, 4)", "both need the same"]),
        (
            {**good(), "x_train": images(8) / 255 - 0.5},
            ["float64 images from -", "expected uint8", "undo any normalisation"],
        ),
        ({"x": np.zeros((4, 2, 9, 9), np.uint8), "y": np.arange(4)}, ["(4, 2, 9, 9)", "expected 1 or 3 channels"]),
        ({"x": np.zeros((4, 1, 0, 9), np.uint8), "y": np.arange(4)}, ["(4, 1, 0, 9)", "at least one pixel"]),
        ({"x": np.zeros(4), "y": np.arange(4)}, ["shape (4,)", "features [N, d]"]),
        ({**good(), "y_train": np.linspace(0, 1, 8)}, ["y_train is 0.14", "row 1", "class numbers or names"]),
        ({**good(), "y_test": np.array([0, 1, 7, 1])}, ["y_test is 7 at row 2", "no training record has"]),
        ({**good(), "classes": np.array(["a"])}, ["y_train is 1 at row 1", "expected 0 to 0"]),
        ({"x": np.array([[1.0, 2.0], [np.nan, 0.0]]), "y": np.arange(2)}, ["x is nan at row 1, column 0"]),
        ({**good(), "y_train": np.array([None] * 8)}, ["Python objects are never loaded"]),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arrays: dict[str, Any], words: list[str]) -> None:
    path = save(tmp_path, **arrays)
    with pytest.raises(UsageError) as caught:
        read_npz(path)
    text = str(caught.value)
    assert "\n" not in text and str(path) in text and all(word in text for word in words), text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"some text that is no archive"])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_npz(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(UsageError, match="holds a single array"):
        read_npz(tmp_path / "a.npy")


def mixed(codes: list[int], **changes: Any) -> dict[str, Any]:
    table = np.array([[10, codes[0]], [20, codes[1]], [30, codes[2]], [40, codes[3]]], dtype=np.int32)
    return {
        "x_train": table,
        "y_train": np.array([0, 1, 0, 1]),
        "x_test": table[:2] + np.array([5, 0]),
        "y_test": np.array([0, 1]),
        "columns": np.array(["age", "job"]),
        "numeric": np.array([True, False]),
        "categories_json": np.array(json.dumps({"job": ["none", "cook", "smith"]})),
        **changes,
    }


def test_categories_become_one_hot_and_numbers_stay(tmp_path: Path) -> None:
    path = save(tmp_path, **mixed([0, 2, 1, 2]))
    raw = read_npz(path)
    assert raw.train.x.tolist() == [[10, 1, 0, 0], [20, 0, 0, 1], [30, 0, 1, 0], [40, 0, 0, 1]]
    dataset = load(DataConfig(dataset="npz", data_dir=str(path)))
    assert np.array_equal(dataset.x_train, raw.train.x) and not dataset.is_image
    assert dataset.notes == ()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (mixed([0, 3, 0, 0]), ["column job is 3 at row 1", "from 0 to 2"]),
        (mixed([0, 0, 0, 0], categories_json=np.array("{")), ["do not fit together"]),
        (mixed([0, 0, 0, 0], categories_json=np.array('{"other": []}')), ["do not fit together", "job"]),
        (mixed([0, 0, 0, 0], numeric=np.array([True])), ["do not fit together"]),
        (mixed([0, 0, 0, 0], columns=np.array(["age", "job", "pay"]), numeric=[True, False, True]), ["[N, 3]"]),
        ({**{k: v for k, v in mixed([0, 0, 0, 0]).items() if k != "numeric"}}, ["no numeric"]),
    ],
)
def test_categories_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], words: list[str]) -> None:
    path = save(tmp_path, **arrays)
    with pytest.raises(UsageError) as caught:
        read_npz(path)
    text = str(caught.value)
    assert "\n" not in text and all(word in text for word in words), text


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_data", "train_labels", "test_data", "test_labels"),
    ],
)
def test_other_packages_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    """MedMNIST's validation part is left out in words, never without."""
    arrays = dict(zip(names, good().values(), strict=True))
    raw = read_npz(save(tmp_path, **arrays, val_images=images(2)))
    assert raw.test is not None and np.array_equal(raw.train.x, images(8)) and np.array_equal(raw.test.x, images(4))
    assert raw.notes == ("left out the arrays val_images: neither training nor test records",)


@pytest.mark.parametrize("names", [("X", "y"), ("features", "labels"), ("data", "target"), ("x_train", "y_train")])
def test_a_single_set(tmp_path: Path, names: tuple[str, str]) -> None:
    raw = read_npz(save(tmp_path, **{names[0]: np.eye(4, 3), names[1]: np.arange(4) % 2}))
    assert raw.test is None and np.array_equal(raw.train.x, np.eye(4, 3)) and raw.notes == ()


def test_channels_last_floats_and_one_hot_labels(tmp_path: Path) -> None:
    """What Keras and a data loader leave behind is read to the same records as the uint8 original."""
    levels = np.random.default_rng(0).integers(0, 256, (6, 3, 5, 5), dtype=np.uint8)
    expected = np.arange(6) % 3
    last = levels.transpose(0, 2, 3, 1)
    for x in (levels, last, last / 255, (last / 255).astype(np.float32), levels.astype(np.int64), last.astype(float)):
        for y in (expected, expected[:, None], np.eye(3)[expected], expected.astype(float)):
            raw = read_npz(save(tmp_path, x=x, y=y))
            assert np.array_equal(raw.train.x, levels) and raw.train.y.tolist() == expected.tolist()
            assert raw.classes == ("0", "1", "2") and raw.notes == ()


def test_floats_between_levels_say_how_far_they_move(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((4, 1, 5, 5))
    raw = read_npz(save(tmp_path, x=x, y=np.arange(4) % 2))
    assert np.abs(raw.train.x / 255 - x).max() <= 0.5 / 255
    assert len(raw.notes) == 1 and "8-bit levels" in raw.notes[0]


def test_several_labels_a_record(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 columns and its rows are not one-hot"):
        read_npz(save(tmp_path, x=images(3), y=np.array([[1, 1], [0, 1], [0, 0]])))
