"""Anchors on real files, where they lie beside the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedprivacy.config.run import DataConfig
from fedprivacy.data.division import divide
from fedprivacy.data.duplicates import content, extra_copies
from fedprivacy.data.sources import load

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def path(name: str) -> str:
    if not (DATA / name).exists():
        pytest.skip(f"real data '{name}' is not in the folder ../shared/data")
    return str(DATA / name)


@pytest.mark.slow
def test_the_face_mask_set_as_gupta_used_it() -> None:
    config = DataConfig(
        dataset="facemask",
        data_dir=path("facemask"),
        duplicates="keep",
        inclusion=1.0,
        layout="folds",
        schedule="fresh",
        validation=0.2,
        auxiliary=0,
    )
    data = load(config)
    assert data.x_train.shape == (3832, 3, 100, 100) and len(data.y_test) == 2000
    assert np.bincount(data.y_train).tolist() == [1914, 1918] and data.classes == ("with_mask", "without_mask")
    assert extra_copies(data.x_train) == 86
    division = divide(data, config, 5, 12, 0)
    assert len(division.warmup) == 52 and sum(map(len, division.public)) == 631
    assert {len(fold) for client in division.candidates for fold in client} == {41, 42, 43}


def test_location30_is_binary_and_stays_so() -> None:
    data = load(DataConfig(dataset="npz", data_dir=path("location30.npz")))
    assert data.name == "location30" and data.x_train.shape == (4007, 446) and len(data.classes) == 30
    assert set(np.unique(data.x_train).tolist()) == {0.0, 1.0} and data.notes == ()


def test_adult_is_encoded() -> None:
    data = load(DataConfig(dataset="npz", data_dir=path("adult.npz")))
    assert data.shape == (108,) and len(data.y_train) == 32532 and len(data.y_test) == 16248
    binary = ((data.x_train == 0) | (data.x_train == 1)).all(axis=0)
    assert binary.sum() == 102
    assert (data.x_train[:, binary].sum(axis=1) == 8).all()
    together = np.concatenate([content(data.x_train), content(data.x_test)])
    assert len(np.unique(together)) == len(together)


@pytest.mark.parametrize(("name", "shape"), [("cifar10_10k", (3, 32, 32)), ("fashion_mnist_10k", (1, 28, 28))])
def test_image_archives(name: str, shape: tuple[int, ...]) -> None:
    data = load(DataConfig(dataset="npz", data_dir=path(f"{name}.npz")))
    assert data.shape == shape and data.x_train.dtype == np.uint8
    assert np.bincount(data.y_train).tolist() == [1000] * 10 and len(data.y_test) == 2000
