"""Data from outside the package: a function that returns arrays, a torch ``Dataset``, or a data frame.

What a function returns, or what is handed over from Python, becomes the arrays of a ``.npz`` file by name, and is then
read as one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedprivacy.config.base import UsageError
from fedprivacy.data.layouts import named
from fedprivacy.data.npz_file import from_arrays
from fedprivacy.data.raw import Raw
from fedprivacy.data.tables import from_frames

Arrays = dict[str, NDArray[Any]]
WHAT = (
    "(x, y), (x_train, y_train, x_test, y_test), a mapping of such arrays, a torch Dataset, a data frame, or "
    "(train, test) of them"
)


def called(part: Any, name: str, label: str | None = None) -> Raw:
    """A data set from outside, as read; ``part`` is a function without arguments, or the data themselves."""
    if inspect.isfunction(part) or isinstance(part, type):
        try:
            part = part()
        except UsageError:
            raise
        except Exception as error:
            cause = " ".join(str(error).split()) or "no message"
            raise UsageError(f"data {name}: calling it failed: {type(error).__name__}: {cause}.") from error
    return raw_of(part, name, label)


def raw_of(content: Any, name: str, label: str | None = None) -> Raw:
    """Whatever :data:`WHAT` says, or a data frame whose column ``label`` is the class, read as a file of that content.

    UsageError for anything else, and as the readers of files raise it.
    """
    if is_table(content):
        return _of_frames(content, name, label)
    return from_arrays(arrays_of(content, name), f"data {name}")


def is_table(content: Any) -> bool:
    """Whether ``content`` is a data frame, or one to train and one to test."""
    return _is_frame(content) or (
        isinstance(content, tuple | list) and len(content) == 2 and all(map(_is_frame, content))
    )


def _of_frames(content: Any, name: str, label: str | None) -> Raw:
    train, test = (content, None) if _is_frame(content) else content
    return from_frames(train.copy(), None if test is None else test.copy(), label, f"data {name}")


def arrays_of(content: Any, name: str, label: str | None = None) -> Arrays:
    """Named arrays from whatever :data:`WHAT` says; ``label`` is the class of a data frame. UsageError otherwise."""
    if is_table(content):
        raw = _of_frames(content, name, label)
        sets = {"x": raw.train.x, "y": raw.train.y}
        if raw.test is not None:
            sets = {"x_train": raw.train.x, "y_train": raw.train.y, "x_test": raw.test.x, "y_test": raw.test.y}
        return {**sets, "classes": np.array(raw.classes)}
    if isinstance(content, Mapping):
        arrays = {str(key): _array(value) for key, value in content.items()}
        beside = named(arrays, f"data {name}").left_out
        return {key: array for key, array in arrays.items() if key not in beside or array.dtype.kind != "O"}
    if isinstance(content, tuple | list) and len(content) == 4:
        return dict(zip(("x_train", "y_train", "x_test", "y_test"), map(_array, content), strict=True))
    if isinstance(content, tuple | list) and len(content) == 2:
        first, second = content
        if _is_pair(first) and _is_pair(second):
            return arrays_of((*first, *second), name)
        if _indexed(first) and _indexed(second):
            train, test = _stacked(first, f"{name} (train)"), _stacked(second, f"{name} (test)")
            return {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
        return {"x": _array(first), "y": _array(second)}
    if _indexed(content):
        x, y = _stacked(content, name)
        return {"x": x, "y": y}
    raise UsageError(f"data {name}: it is a {type(content).__name__}; expected {WHAT}.")


def _array(value: Any) -> NDArray[Any]:
    """An array of a tensor, a column, a list or an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype).startswith(("torch.bfloat16", "torch.float8")):
            value = value.float()
    array = np.asarray(value)
    texts = array.dtype.kind == "O" and array.size and all(isinstance(one, str) for one in array.reshape(-1))
    return array.astype(np.str_) if texts else array


def _is_pair(content: Any) -> bool:
    """Whether something is records and labels, as ``load_data()`` of Keras returns two of."""
    return (
        isinstance(content, tuple | list)
        and len(content) == 2
        and all(isinstance(one, list) or getattr(one, "ndim", 0) > 0 for one in content)
        and len(content[0]) == len(content[1])
    )


def _is_frame(content: Any) -> bool:
    """Whether something is a pandas data frame by what it offers."""
    return hasattr(content, "columns") and hasattr(content, "dtypes")


def _indexed(content: Any) -> bool:
    """Whether something is a torch ``Dataset`` by what it offers: records by number, each with its label."""
    return (
        not hasattr(content, "shape")
        and not isinstance(content, str | tuple | list | Mapping)
        and all(hasattr(content, name) for name in ("__getitem__", "__len__"))
    )


def _stacked(content: Any, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """All records of a torch ``Dataset`` as one array, and their labels."""
    records, labels = [], []
    for number in range(len(content)):
        one = content[number]
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise UsageError(f"data {name}: record {number} is not a pair of a record and its label.")
        records.append(_array(one[0]))
        labels.append(_array(one[1]))
    shapes = {record.shape for record in records}
    if len(shapes) != 1:
        what = "no record" if not records else f"records of shapes {', '.join(map(str, sorted(shapes)[:3]))}"
        raise UsageError(f"data {name}: it holds {what}; all need one shape.")
    return np.stack(records), np.stack(labels)
