"""CSV and Parquet files, and data frames: numbers stay, texts and categories become one-hot, one column is the label.

pandas reads them, and pyarrow Parquet: the extra ``tables``. The set of a column's categories is taken from all rows,
training and test, as part of the form of the data; what rows hold is not.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.data.arrays import as_labels, numbered
from fedprivacy.data.features import Features, as_features
from fedprivacy.data.raw import Array, Part, Raw

MOST_CATEGORIES = 1000
MISSING = "(missing)"


def read_table(path: Path, label: str | None, kind: str) -> Raw:
    """A file of ``kind`` csv or parquet, or a folder with ``train`` and ``test`` files of that kind.

    Raises :class:`UsageError` where a file cannot be read, and as :func:`from_frames` does.
    """
    if not path.is_dir():
        return from_frames(_frame(path, kind), None, label, str(path))
    files = [path / f"{name}.{kind}" for name in ("train", "test")]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise UsageError(f"{path} has no {' and no '.join(absent)}; give one file, or a folder that holds both.")
    return from_frames(_frame(files[0], kind), _frame(files[1], kind), label, str(path))


def from_frames(train: Any, test: Any | None, label: str | None, where: str) -> Raw:
    """Data frames as features float32 [N, d], not yet scaled, and labels.

    Columns of numbers and of true and false stay one column; texts and categories become one a category, in sorted
    order, a missing text being one more. Raises :class:`UsageError` where ``label`` names no column, both frames
    differ in their columns, a number is missing, or a column is of another kind.
    """
    columns = [str(name) for name in train.columns]
    if label is None:
        raise UsageError(f"{where}: say which column is the class: --label COLUMN, one of {_listed(columns)}.")
    if label not in columns:
        raise UsageError(f"{where} has no column '{label}'. {near_miss(label, columns)} It has {_listed(columns)}.")
    if len(set(columns)) < len(columns):
        raise UsageError(f"{where} has two columns of one name; rename one.")
    frames = [train] if test is None else [train, test]
    for frame in frames:
        frame.columns = [str(name) for name in frame.columns]
        if set(frame.columns) != set(columns):
            odd = sorted(set(frame.columns) ^ set(columns))
            raise UsageError(f"{where}: {_listed(odd)} stands in one of the two sets only; both need the same columns.")
        if not len(frame):
            raise UsageError(f"{where} has no rows.")
    if len(columns) < 2:
        raise UsageError(f"{where} has the column {label} alone; expected features beside it.")
    blocks: list[list[Features]] = []
    coded = 0
    for name in columns:
        if name != label:
            made = _column([frame[name] for frame in frames], f"{where}: column {name}")
            coded += made[0].shape[1] > 1
            blocks.append(made)
    labels = [_label(frame[label], f"{where}: column {label}") for frame in frames]
    numbers, classes = numbered(labels, [f"{where}: column {label}"] * len(frames))
    parts = [Part(np.concatenate([block[i] for block in blocks], axis=1), numbers[i]) for i in range(len(frames))]
    width = parts[0].x.shape[1]
    notes = (f"{coded:,} of {len(columns) - 1:,} columns hold categories; one-hot they are {width:,} features",)
    return Raw(parts[0], parts[1] if len(parts) > 1 else None, classes, notes if coded else ())


def _frame(path: Path, kind: str) -> Any:
    pandas = _pandas()
    try:
        return pandas.read_csv(path) if kind == "csv" else pandas.read_parquet(path)
    except ImportError as error:
        raise UsageError(f"Reading {path} needs pyarrow: pip install 'fedprivacy[tables]' ({error}).") from None
    except Exception as error:  # the parsers raise many kinds
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"Cannot read {path} as {kind}: {reason[:200]}.") from None


def _pandas() -> ModuleType:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise UsageError("Tables are read by pandas: pip install 'fedprivacy[tables]'.") from None


def _column(parts: list[Any], where: str) -> list[Features]:
    """One column of each set as features [N, 1] or, one-hot, [N, categories]."""
    types = _pandas().api.types
    if all(types.is_numeric_dtype(part.dtype) or types.is_bool_dtype(part.dtype) for part in parts):
        return [as_features(part.to_numpy(dtype=np.float64, na_value=np.nan)[:, None], where) for part in parts]
    if any(types.is_datetime64_any_dtype(part.dtype) or types.is_timedelta64_dtype(part.dtype) for part in parts):
        raise UsageError(f"{where} holds times; make it a number, or drop it.")
    texts = [np.asarray(part.astype(object).where(part.notna(), MISSING).map(str), dtype=np.str_) for part in parts]
    levels = np.unique(np.concatenate(texts))
    if len(levels) > MOST_CATEGORIES:
        raise UsageError(
            f"{where} holds {len(levels):,} different texts (at most {MOST_CATEGORIES:,}); drop it, or make it numbers."
        )
    return [np.asarray(text[:, None] == levels, dtype=np.float32) for text in texts]


def _label(column: Any, where: str) -> Array:
    if column.isna().any():
        row = int(np.argmax(column.isna().to_numpy()))
        raise UsageError(f"{where} is missing at row {row}, counted from 0; every record needs a class.")
    types = _pandas().api.types
    if types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype):
        return as_labels(column.to_numpy(), len(column), where)
    return as_labels(np.asarray(column.map(str), dtype=np.str_), len(column), where)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
