"""From configuration to data set: split, limit, duplicates, digest, notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.duplicates import content
from fedprivacy.data.sources import load

DIGITS = DataConfig(dataset="digits")


def npz(path: Path, **arrays: Any) -> DataConfig:
    np.savez(path / "made.npz", **arrays)
    return DataConfig(dataset="npz", data_dir=str(path / "made.npz"))


def changed(config: DataConfig, **values: Any) -> DataConfig:
    return config.model_copy(update=values)


def test_loading_twice_gives_the_same() -> None:
    first, second = load(DIGITS), load(DIGITS)
    assert first.digest == second.digest and len(first.digest) == 64
    assert np.array_equal(first.x_test, second.x_test) and first.x_train.dtype == np.uint8


def test_the_digest_follows_the_content() -> None:
    digests = [
        load(changed(DIGITS, **values)).digest
        for values in ({}, {"limit": 900}, {"test_fraction": 0.3}, {"image_size": 16}, {"limit": 10**6})
    ]
    assert len(set(digests)) == 4 and digests[0] == digests[4]


def test_the_test_set_is_a_stratified_fraction() -> None:
    data = load(DIGITS)
    assert len(data.y_test) == round(0.2 * 1797) and len(data.y_train) + len(data.y_test) == 1797
    total = np.bincount(np.concatenate([data.y_train, data.y_test]))
    assert np.abs(np.bincount(data.y_test) - 0.2 * total).max() <= 2
    assert len(np.unique(np.concatenate([content(data.x_train), content(data.x_test)]))) == 1797


def test_a_limit_is_a_stratified_draw_and_leaves_the_test_set() -> None:
    whole, part = load(DIGITS), load(changed(DIGITS, limit=300))
    assert len(part.y_train) == 300 and np.array_equal(part.x_test, whole.x_test)
    assert np.bincount(part.y_train).min() >= 26
    assert np.isin(content(part.x_train), content(whole.x_train)).all()


def test_image_size() -> None:
    assert load(changed(DIGITS, image_size=16)).shape == (1, 16, 16)


def test_duplicates_are_dropped_or_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (12, 1, 4, 4), dtype=np.uint8)
    x[1] = x[0]
    y = np.array([0, 0] + [0, 1] * 5)
    config = npz(tmp_path, x_train=x, y_train=y, x_test=x[[2, 5, 0]], y_test=y[[2, 5, 0]])
    with pytest.raises(UsageError, match=r"made has no test records left after: dropped 1 exact"):
        load(config)
    kept = load(changed(config, duplicates="keep", inclusion=1.0))
    assert len(kept.y_train) == 12 and len(kept.y_test) == 3
    assert kept.notes == ("kept 1 exact duplicates in the training set",)
    fresh = rng.integers(0, 256, (2, 1, 4, 4), dtype=np.uint8)
    dropped = load(npz(tmp_path, x_train=x, y_train=y, x_test=np.concatenate([x[:1], fresh]), y_test=[0, 0, 1]))
    assert len(dropped.y_train) == 11 and np.array_equal(dropped.x_test, fresh)
    assert dropped.notes[1] == "dropped 1 test records that also stand in the training set"


def test_one_class_only(tmp_path: Path) -> None:
    x = np.arange(160, dtype=np.uint8).reshape(10, 1, 4, 4)
    with pytest.raises(UsageError, match="made holds only class '7'; at least two"):
        load(npz(tmp_path, x=x, y=np.full(10, 7)))
    conflicting = np.zeros((10, 1, 4, 4), dtype=np.uint8)
    config = npz(tmp_path, x_train=conflicting, y_train=np.arange(10) % 2, x_test=x, y_test=np.arange(10) % 2)
    with pytest.raises(UsageError, match=r"no training records after: .*different labels"):
        load(config)


def test_image_size_is_for_images(tmp_path: Path) -> None:
    config = npz(tmp_path, x=np.eye(6), y=np.arange(6) % 2)
    with pytest.raises(UsageError, match="--image-size is for images; 'made' holds 6 features"):
        load(changed(config, image_size=8))


def test_a_fraction_that_leaves_a_set_empty(tmp_path: Path) -> None:
    config = npz(tmp_path, x=np.eye(3), y=np.arange(3) % 2)
    for fraction in (0.01, 0.99):
        with pytest.raises(UsageError, match="leaves the training or the test set empty"):
            load(changed(config, test_fraction=fraction))


def test_unknown_names_are_refused_before_reading() -> None:
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        load(DataConfig(dataset="digit"))


def test_a_folder_is_named_after_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for number, name in enumerate(("a", "b")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(5):
            Image.new("L", (4, 4), number * 100 + i).save(tmp_path / "pets" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path / "pets")
    data = load(DataConfig(dataset="folder", data_dir="."))
    assert data.name == "pets" and data.shape == (3, 4, 4) and sorted(data.y_test.tolist()) == [0, 1]
