"""From a configuration to a data set: read, split, drop duplicates, limit. Scaling waits for the division.

Nothing here depends on a run's seed: the test set and a limited training set are the same in every run, so stored
shadow banks stay comparable.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fedprivacy import parts, seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data import duplicates, outside
from fedprivacy.data.embedded import read_digits, read_mnist5k
from fedprivacy.data.image_folder import read_folder
from fedprivacy.data.images import nearest
from fedprivacy.data.names import SOURCES, check, data_path, from_outside
from fedprivacy.data.npz_file import read_npz
from fedprivacy.data.one_class import against_the_rest
from fedprivacy.data.raw import Part, Raw
from fedprivacy.data.records import Dataset
from fedprivacy.data.strata import stratified_order
from fedprivacy.data.tables import read_table
from fedprivacy.data.torchvision_sets import read_torchvision

MASK_CLASSES = ("with_mask", "without_mask")
MASK_SIZE = 100


def load(config: DataConfig) -> Dataset:
    """The data set that ``config`` names. Positions in it are final: nothing later removes a record.

    A source without a test set gives a stratified ``test_fraction`` of its records. ``limit`` keeps a stratified draw
    of the training records. Images are uint8; features are as read, and :mod:`~fedprivacy.data.scaling` brings them
    on one scale once it is known which records are public. Raises :class:`UsageError`.
    """
    check(config)
    return finished(_read(config), config, _name(config))


def finished(raw: Raw, config: DataConfig, name: str) -> Dataset:
    """The data set that was read as ``raw``, by the settings of :func:`load`."""
    raw = raw if config.positive is None else against_the_rest(raw, config.positive)
    train, test = (raw.train, raw.test) if raw.test is not None else _split(raw.train, config.test_fraction, name)
    notes = list(raw.notes)
    if config.duplicates == "drop":
        kept = duplicates.distinct(train, test)
        train, test = train.take(kept.train), test.take(kept.test)
        notes.extend(duplicates.describe(kept))
    elif copies := duplicates.extra_copies(train.x):
        notes.append(f"kept {copies:,} exact duplicates in the training set")
    if config.limit is not None and config.limit < len(train.y):
        order = stratified_order(train.y, seeds.numpy_generator(0, "data", "limit"))
        train = train.take(np.sort(order[: config.limit]))
    _usable(train, test, raw.classes, name, notes)
    return Dataset(
        name=name,
        x_train=train.x,
        y_train=train.y,
        x_test=test.x,
        y_test=test.y,
        classes=raw.classes,
        digest=_digest(train, test, raw.classes),
        notes=tuple(notes),
    )


def _read(config: DataConfig) -> Raw:
    source, size = config.dataset, config.image_size
    if source == "folder":
        return read_folder(data_path(config), size, config.skip_bad)
    if source == "facemask":
        return read_folder(data_path(config), size or MASK_SIZE, config.skip_bad, MASK_CLASSES)
    if from_outside(source):
        raw = outside.called(parts.load("data", source), source, config.label)
    elif source == "mnist5k":
        raw = read_mnist5k()
    elif source == "digits":
        raw = read_digits()
    elif source == "npz":
        raw = read_npz(data_path(config))
    elif SOURCES[source].kind == "table":
        raw = read_table(data_path(config), config.label, source)
    else:
        raw = read_torchvision(source, data_path(config), config.download)
    if size is None:
        return raw
    if raw.train.x.ndim != 4:
        raise UsageError(
            f"--image-size is for images; '{_name(config)}' holds {raw.train.x.shape[1]} features a record."
        )
    test = None if raw.test is None else Part(nearest(raw.test.x, size), raw.test.y)
    return Raw(Part(nearest(raw.train.x, size), raw.train.y), test, raw.classes, raw.notes)


def _name(config: DataConfig) -> str:
    """The source's name; the file's or the folder's own name where the source is general."""
    if from_outside(config.dataset):
        return config.dataset.rpartition(":")[2]
    if SOURCES[config.dataset].kind in ("file", "table"):
        return data_path(config).stem
    return data_path(config).resolve().name if config.dataset == "folder" else config.dataset


def _split(part: Part, fraction: float, name: str) -> tuple[Part, Part]:
    size = round(len(part.y) * fraction)
    if not 0 < size < len(part.y):
        raise UsageError(
            f"test_fraction {fraction:g} of the {len(part.y):,} records of {name} leaves the training or the test "
            "set empty; choose another fraction."
        )
    order = stratified_order(part.y, seeds.numpy_generator(0, "data", "test"))
    return part.take(np.sort(order[size:])), part.take(np.sort(order[:size]))


def _usable(train: Part, test: Part, classes: tuple[str, ...], name: str, notes: list[str]) -> None:
    after = f" after: {'; '.join(notes)}" if notes else ""
    if not len(test.y):
        raise UsageError(f"{name} has no test records left{after}.")
    present: NDArray[np.int64] = np.unique(train.y)
    if len(present) < 2:
        holds = f"only class '{classes[present[0]]}'" if len(present) else "no training records"
        raise UsageError(f"{name} holds {holds}{after}; at least two classes are needed.")


def _digest(train: Part, test: Part, classes: tuple[str, ...]) -> str:
    state = hashlib.sha256(repr(classes).encode())
    for array in (train.x, train.y, test.x, test.y):
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()
