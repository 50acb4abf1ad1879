"""Torchvision's own storage, made by hand: nothing is fetched."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.sources import load
from fedprivacy.data.torchvision_sets import read_torchvision
from fedprivacy.torchvision_guard import import_torchvision


def idx(path: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    """The format of MNIST's files: magic number with the number of axes, their sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_a_set_on_disk(tmp_path: Path, name: str, folder: str) -> None:
    rng = np.random.default_rng(0)
    stored = {}
    for part, count in (("train", 30), ("t10k", 10)):
        x, y = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10
        idx(tmp_path / folder / "raw" / f"{part}-images-idx3-ubyte", x)
        idx(tmp_path / folder / "raw" / f"{part}-labels-idx1-ubyte", y)
        stored[part] = x, y
    dataset = load(DataConfig(dataset=name, data_dir=str(tmp_path)))
    assert np.array_equal(dataset.x_train[:, 0], stored["train"][0]) and dataset.x_train.dtype == np.uint8
    assert np.array_equal(dataset.x_test[:, 0], stored["t10k"][0])
    assert np.array_equal(dataset.y_train, stored["train"][1]) and len(dataset.classes) == 10
    assert load(DataConfig(dataset=name, data_dir=str(tmp_path), image_size=14)).shape == (1, 14, 14)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_nothing_is_fetched_unless_asked(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--download") as caught:
        read_torchvision(name, tmp_path, download=False)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(import_torchvision().datasets, "CIFAR10", refuse)
    with pytest.raises(UsageError, match=r"no route to host.*connection"):
        read_torchvision("cifar10", tmp_path, download=True)


def test_colour_images_get_their_channels_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)

    class Stored:
        data, targets, classes = pixels, [0, 1, 2, 0, 1, 2], ["a", "b", "c"]

        def __init__(self, root: str, train: bool, download: bool) -> None:
            assert Path(root) == tmp_path and not download

    monkeypatch.setattr(import_torchvision().datasets, "CIFAR100", Stored)
    raw = read_torchvision("cifar100", tmp_path, download=False)
    assert np.array_equal(raw.train.x, pixels.transpose(0, 3, 1, 2)) and raw.classes == ("a", "b", "c")


def test_the_guard_gives_datasets_and_models() -> None:
    vision = import_torchvision()
    assert vision.datasets.CIFAR10 and vision.models.resnet18 and import_torchvision() is vision
