"""Rows of features: to float32, checked, one-hot where categorical."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedprivacy.config.base import UsageError

Features = NDArray[np.float32]


def as_features(x: NDArray[np.generic], where: str, columns: Sequence[str] | None = None) -> Features:
    """``x`` [N, d] as float32; :class:`UsageError` naming the first row and column that is not a finite number."""
    if x.ndim == 2 and not x.shape[1]:
        raise UsageError(f"{where} has no columns; expected features [N, d] with d at least 1.")
    if x.dtype.kind not in "biuf":
        raise UsageError(f"{where} holds {x.dtype} values; expected numbers.")
    with np.errstate(over="ignore"):
        rows = x.astype(np.float32)
    rows += 0.0  # -0.0 and 0.0 are one value, and must have one hash
    bad = ~np.isfinite(rows)
    if bad.any():
        row, column = (int(place) for place in np.argwhere(bad)[0])
        name = f" ({columns[column]})" if columns is not None else ""
        raise UsageError(
            f"{where} is {x[row, column]} at row {row}, column {column}{name}, counted from 0; "
            f"{int(bad.sum()):,} values are not finite float32 numbers. Remove or fill them."
        )
    return rows


def one_hot(codes: NDArray[np.generic], levels: int, where: str) -> Features:
    """Category codes [N] in 0..levels-1 as indicators [N, levels]; :class:`UsageError` on another code."""
    known = np.arange(levels)
    bad = ~np.isin(codes, known)
    if bad.any():
        row = int(np.argmax(bad))
        raise UsageError(f"{where} is {codes[row]} at row {row}; expected a category number from 0 to {levels - 1}.")
    return np.asarray(codes[:, None] == known, dtype=np.float32)
