"""Arrays as people have them, as records and labels: channels last, floats in [0, 1], one-hot labels, a spare axis."""

from __future__ import annotations

import numpy as np

from fedprivacy.config.base import UsageError
from fedprivacy.data.features import as_features
from fedprivacy.data.raw import Array

CHANNELS = (1, 3)


def as_records(x: Array, where: str) -> tuple[Array, tuple[str, ...]]:
    """Records as stored, and notes on what was changed.

    Two axes are features, float32 [N, d], not yet scaled. Images come out as uint8 [N, channels, height, width] from
    [N, height, width] (grey), channels first, or channels last where only the last axis can be channels. Their values
    may be 0..255 of any type, floats in [0, 1] (kept as 8-bit levels, nearest), or true and false. ``where`` names
    the array in messages. Raises :class:`UsageError` on anything else.
    """
    if x.ndim == 2:
        return as_features(x, where), ()
    if x.ndim not in (3, 4):
        raise UsageError(
            f"{where} has shape {x.shape}; expected features [N, d] or images [N, channels, height, width]."
        )
    if 0 in x.shape[1:]:
        raise UsageError(f"{where} has shape {x.shape}; an image has at least one pixel.")
    levels, notes = _levels(x, where)
    if levels.ndim == 3:
        return np.ascontiguousarray(levels[:, None]), notes
    if levels.shape[1] in CHANNELS:
        return np.ascontiguousarray(levels), notes
    if levels.shape[3] in CHANNELS:
        return np.ascontiguousarray(levels.transpose(0, 3, 1, 2)), notes
    raise UsageError(f"{where} has shape {x.shape}; expected 1 or 3 channels on the second axis, or on the last one.")


def _levels(x: Array, where: str) -> tuple[Array, tuple[str, ...]]:
    """Pixels as uint8 levels of the same shape."""
    if x.dtype == np.uint8:
        return x, ()
    if x.dtype.kind == "b":
        return np.where(x, np.uint8(255), np.uint8(0)), ()
    if x.dtype.kind not in "iuf":
        raise UsageError(f"{where} holds {x.dtype} values; expected pixels: uint8 0 to 255, or floats in [0, 1].")
    values = x.astype(np.float64)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise UsageError(f"{where}: {bad:,} of {values.size:,} pixels are NaN or infinite. Remove such images.")
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low >= 0 and high <= 255 and (values % 1 == 0).all() and not (x.dtype.kind == "f" and high <= 1):
        return values.astype(np.uint8), ()
    if x.dtype.kind == "f" and low >= 0 and high <= 1:
        levels = np.rint(values * 255)
        moved = float(np.abs(values - levels / 255).max(initial=0))
        note = f"{where}: floats in [0, 1] are kept as 8-bit levels; a pixel moves by at most {moved:.4f}"
        return levels.astype(np.uint8), (note,) if moved > 1e-6 else ()
    raise UsageError(
        f"{where} holds {x.dtype} images from {low:g} to {high:g}; expected uint8 0 to 255 or floats in [0, 1]: "
        "undo any normalisation first."
    )


def as_labels(y: Array, count: int, where: str) -> Array:
    """One label a record, [N] integers or strings, of ``count`` records.

    [N, 1] loses its spare axis, one-hot rows [N, C] become class numbers, whole floats become integers. Raises
    :class:`UsageError` on several labels a record, fractions, and another number of labels than records.
    """
    labels = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if labels.ndim not in (1, 2) or len(labels) != count or not count:
        raise UsageError(f"{where} has shape {y.shape} for {count:,} records; expected one label a record, at least 1.")
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels.astype(np.bytes_), "utf-8", "replace")
    if labels.dtype.kind == "O" and all(isinstance(one, str) for one in labels.reshape(-1)):
        labels = labels.astype(np.str_)
    if labels.dtype.kind not in "biufU" or (labels.ndim == 2 and labels.dtype.kind == "U"):
        raise UsageError(f"{where} holds {labels.dtype} values {labels.shape}; expected integers or strings [N].")
    if labels.ndim == 2:
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()):
            raise UsageError(
                f"{where} has {labels.shape[1]} columns and its rows are not one-hot: a record has one class here; "
                "choose one column."
            )
        return np.asarray(labels.argmax(axis=1), dtype=np.int64)
    if labels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            odd = ~(labels % 1 == 0) | (np.abs(labels.astype(np.float64)) >= 2.0**53)
        if odd.any():
            row = int(np.argmax(odd))
            raise UsageError(f"{where} is {labels[row]} at row {row}; expected class numbers or names.")
        return labels.astype(np.int64)
    return labels.astype(np.int64) if labels.dtype.kind == "b" else labels


def numbered(
    labels: list[Array], names: list[str], stored: Array | None = None
) -> tuple[list[np.ndarray[tuple[int], np.dtype[np.int64]]], tuple[str, ...]]:
    """Labels of the training set, then of the test set, as class numbers, and the names of the classes.

    Classes are the sorted training labels, or ``stored`` names, which integer labels then index. ``names`` are those
    of the arrays, for messages. Raises :class:`UsageError` on a label that no class has.
    """
    if stored is not None and labels[0].dtype.kind in "iu":
        classes = tuple(str(name) for name in stored.reshape(-1))
        for y, name in zip(labels, names, strict=True):
            wrong = ~np.isin(y, np.arange(len(classes)))
            if wrong.any():
                raise UsageError(
                    f"{name} is {y[wrong][0]} at row {int(np.argmax(wrong))}; "
                    f"expected 0 to {len(classes) - 1}, one of the {len(classes)} names in classes."
                )
        return [y.astype(np.int64) for y in labels], classes
    known = np.unique(labels[0])
    for y, name in zip(labels[1:], names[1:], strict=True):
        unknown = ~np.isin(y, known)
        if unknown.any():
            raise UsageError(
                f"{name} is {y[unknown][0]} at row {int(np.argmax(unknown))}, which no training record has."
            )
    return [np.searchsorted(known, y).astype(np.int64) for y in labels], tuple(str(name) for name in known)
