"""Arrays in a .npz file, or in a mapping: images or features, with or without a test set, with categories or not.

Records and labels go by any of the names in :mod:`~fedprivacy.data.layouts`. Categorical columns of features are told
by three keys: ``columns`` [d] names, ``numeric`` [d] booleans, and ``categories_json``, a JSON object of column name to
the list of its categories; every column that is not numeric then holds category numbers and becomes one-hot. The key
``classes`` names the classes that integer labels index.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fedprivacy.config.base import UsageError
from fedprivacy.data.arrays import as_labels, as_records, numbered
from fedprivacy.data.features import Features, as_features, one_hot
from fedprivacy.data.layouts import named
from fedprivacy.data.plain_arrays import plain_arrays
from fedprivacy.data.raw import Array, Part, Raw


def read_npz(path: Path) -> Raw:
    """Read a file. Nothing is unpickled. Raises :class:`UsageError` as :func:`from_arrays` does."""
    return from_arrays(plain_arrays(path, "x_train, y_train, x_test, y_test, or x, y"), str(path))


def from_arrays(arrays: Mapping[str, Array], where: str) -> Raw:
    """Records and labels out of named arrays; ``where`` names their source in messages.

    Raises :class:`UsageError` where names, shapes or values do not fit: see :func:`~fedprivacy.data.arrays.as_records`
    and :func:`~fedprivacy.data.arrays.as_labels`.
    """
    found, categorical = named(arrays, where), "categories_json" in arrays
    notes: list[str] = []
    records: list[Array] = []
    labels: list[Array] = []
    for name_x, raw_x, name_y, raw_y in found.sets:
        if raw_x.ndim < 1 or raw_y.ndim < 1 or len(raw_y) != len(raw_x) or not len(raw_y):
            raise UsageError(
                f"{where}: {name_x} {raw_x.shape} and {name_y} {raw_y.shape} do not match; "
                "expected N records and N labels, N at least 1."
            )
        if categorical:
            records.append(_encode(raw_x, arrays, where, f"{where}: {name_x}"))
        else:
            x, said = as_records(raw_x, f"{where}: {name_x}")
            records.append(x)
            notes += said
        labels.append(as_labels(raw_y, len(raw_x), f"{where}: {name_y}"))
    if records[0].shape[1:] != records[-1].shape[1:]:
        raise UsageError(
            f"{where}: records of {found.sets[0][0]} have shape {records[0].shape[1:]}, "
            f"those of {found.sets[-1][0]} {records[-1].shape[1:]}; both need the same."
        )
    classes_of = [f"{where}: {name}" for _, _, name, _ in found.sets]
    numbers, classes = numbered(labels, classes_of, arrays.get("classes"))
    if found.left_out:
        notes.append(f"left out the arrays {', '.join(found.left_out)}: neither training nor test records")
    parts = [Part(x, y) for x, y in zip(records, numbers, strict=True)]
    return Raw(parts[0], parts[1] if len(parts) > 1 else None, classes, tuple(notes))


def _encode(x: Array, arrays: Mapping[str, Array], source: str, where: str) -> Features:
    missing = [name for name in ("columns", "numeric") if name not in arrays]
    if missing:
        raise UsageError(f"{source} has categories_json but no {', '.join(missing)}.")
    columns = [str(name) for name in arrays["columns"].reshape(-1)]
    numeric = arrays["numeric"].reshape(-1).astype(np.bool_)
    try:
        categories = json.loads(str(arrays["categories_json"]))
        levels = {name: len(categories[name]) for name, number in zip(columns, numeric, strict=True) if not number}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{source}: columns, numeric and categories_json do not fit together ({error!r}).") from None
    if x.ndim != 2 or x.shape[1] != len(columns):
        raise UsageError(f"{where} has shape {x.shape}; expected [N, {len(columns)}], one column a name in columns.")
    checked = as_features(x, where, columns)
    blocks: list[Features] = [
        checked[:, [i]] if numeric[i] else one_hot(x[:, i], levels[name], f"{where}, column {name}")
        for i, name in enumerate(columns)
    ]
    return np.concatenate(blocks, axis=1)
