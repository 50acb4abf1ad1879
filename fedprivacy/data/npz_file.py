"""Arrays in a .npz file: images or features, with or without a test set, optionally with categorical columns."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fedprivacy.config.base import UsageError
from fedprivacy.data.features import Features, as_features, one_hot
from fedprivacy.data.raw import Array, Labels, Part, Raw

_SPLIT = ("x_train", "y_train", "x_test", "y_test")


def read_npz(path: Path) -> Raw:
    """Read ``x_train, y_train, x_test, y_test``, or ``x, y`` that are split later.

    Images are uint8 [N, channels, height, width] with 1 or 3 channels (or uint8 [N, height, width], grey); anything
    two-dimensional is features, returned as float32, not yet standardised. Labels are integers or strings [N]; the
    classes are the sorted training labels, or the names in an optional key ``classes``, which integer labels then
    index. With keys ``columns``, ``numeric`` and ``categories_json`` (column name to list of categories) the other
    columns hold category numbers and become one-hot. Nothing is unpickled. Raises :class:`UsageError`.
    """
    return raw_of(_arrays(path), str(path))


def raw_of(arrays: Mapping[str, Array], path: str) -> Raw:
    """The same from named arrays in memory; ``path`` says in errors where they come from."""
    names: tuple[str, ...] = _SPLIT if any(name in arrays for name in _SPLIT) else ("x", "y")
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UsageError(
            f"{path} has no {', '.join(missing)} (it has {', '.join(arrays) or 'nothing'}); "
            "expected x_train, y_train, x_test, y_test, or x, y."
        )
    categorical = "categories_json" in arrays
    parts: list[tuple[Array, Array]] = []
    for name_x, name_y in zip(names[::2], names[1::2], strict=True):
        raw_x, y = arrays[name_x], arrays[name_y]
        where = f"{path}: {name_x}"
        if y.ndim != 1 or raw_x.ndim < 1 or len(y) != len(raw_x) or not len(y):
            raise UsageError(
                f"{path}: {name_x} {raw_x.shape} and {name_y} {y.shape} do not match; "
                "expected N records and N labels, N at least 1."
            )
        parts.append((_encode(raw_x, arrays, path, where) if categorical else _records(raw_x, where), y))
    if parts[0][0].shape[1:] != parts[-1][0].shape[1:]:
        raise UsageError(
            f"{path}: records of {names[0]} have shape {parts[0][0].shape[1:]}, "
            f"those of {names[2]} {parts[-1][0].shape[1:]}; both need the same."
        )
    labels, classes = _labels([y for _, y in parts], arrays.get("classes"), path, names)
    read = [Part(x, y) for (x, _), y in zip(parts, labels, strict=True)]
    return Raw(read[0], read[1] if len(read) > 1 else None, classes)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.lib.npyio.NpzFile):
                with stored:
                    return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "pickle" in reason:
            reason = "it is not a .npz file of plain arrays, and pickled objects are never loaded"
        raise UsageError(f"Cannot read {path}: {reason}.") from error
    raise UsageError(f"{path} holds a single array; expected a .npz file with x_train, y_train, x_test, y_test.")


def _records(x: Array, where: str) -> Array:
    if x.ndim == 2:
        return as_features(x, where)
    if x.ndim not in (3, 4):
        raise UsageError(
            f"{where} has shape {x.shape}; expected features [N, d] or images [N, channels, height, width]."
        )
    if x.dtype != np.uint8:
        raise UsageError(f"{where} holds {x.dtype} images; expected uint8, 0 to 255.")
    images = x[:, None] if x.ndim == 3 else x
    if images.shape[1] not in (1, 3):
        hint = "; move the channels to the front" if images.shape[3] in (1, 3) else ""
        raise UsageError(f"{where} has {images.shape[1]} channels (shape {x.shape}); expected 1 or 3{hint}.")
    return np.ascontiguousarray(images)


def _encode(x: Array, arrays: Mapping[str, Array], path: str, where: str) -> Features:
    missing = [name for name in ("columns", "numeric") if name not in arrays]
    if missing:
        raise UsageError(f"{path} has categories_json but no {', '.join(missing)}.")
    columns = [str(name) for name in arrays["columns"].reshape(-1)]
    numeric = arrays["numeric"].reshape(-1).astype(np.bool_)
    try:
        categories = json.loads(str(arrays["categories_json"]))
        levels = {name: len(categories[name]) for name, number in zip(columns, numeric, strict=True) if not number}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: columns, numeric and categories_json do not fit together ({error!r}).") from None
    if x.ndim != 2 or x.shape[1] != len(columns):
        raise UsageError(f"{where} has shape {x.shape}; expected [N, {len(columns)}], one column a name in columns.")
    checked = as_features(x, where, columns)
    blocks: list[Features] = [
        checked[:, [i]] if numeric[i] else one_hot(x[:, i], levels[name], f"{where}, column {name}")
        for i, name in enumerate(columns)
    ]
    return np.concatenate(blocks, axis=1)


def _labels(
    labels: list[Array], stored: Array | None, path: str, names: tuple[str, ...]
) -> tuple[list[Labels], tuple[str, ...]]:
    for y, name in zip(labels, names[1::2], strict=True):
        if y.dtype.kind not in "biuU":
            raise UsageError(f"{path}: {name} holds {y.dtype} values; expected integers or strings.")
    if stored is not None and labels[0].dtype.kind in "iu":
        classes = tuple(str(name) for name in stored.reshape(-1))
        for y, name in zip(labels, names[1::2], strict=True):
            wrong = ~np.isin(y, np.arange(len(classes)))
            if wrong.any():
                raise UsageError(
                    f"{path}: {name} is {y[wrong][0]} at row {int(np.argmax(wrong))}; "
                    f"expected 0 to {len(classes) - 1}, one of the {len(classes)} names in classes."
                )
        return [y.astype(np.int64) for y in labels], classes
    known = np.unique(labels[0])
    for y, name in zip(labels[1:], names[3::2], strict=True):
        unknown = ~np.isin(y, known)
        if unknown.any():
            raise UsageError(
                f"{path}: {name} is {y[unknown][0]} at row {int(np.argmax(unknown))}, which no training record has."
            )
    return [np.searchsorted(known, y).astype(np.int64) for y in labels], tuple(str(name) for name in known)
