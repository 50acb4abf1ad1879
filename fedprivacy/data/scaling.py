"""Feature columns on one scale, by public knowledge: public records, stated bounds, or a release that is counted.

A mean and a spread over private records would tell of them before the first message. The default therefore takes both
from the public, warm-up and auxiliary records of the run alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedprivacy.config.base import UsageError
from fedprivacy.config.run import DataConfig
from fedprivacy.data.features import Features
from fedprivacy.data.records import Dataset, Division, Ids

FEWEST = 2


@dataclass(frozen=True, eq=False)
class Scale:
    """``(x - centre) / spread`` for the columns in ``scaled`` [d] bool; ``centre`` and ``spread`` [d] float64.

    ``clipped``: what falls outside -1..1 is moved to the end, since bounds were stated.
    """

    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    scaled: NDArray[np.bool_]
    clipped: bool = False

    def of(self, rows: Features) -> Features:
        """The rows [N, d] on this scale, as a new array."""
        out = rows.copy()
        values = (rows[:, self.scaled].astype(np.float64) - self.centre[self.scaled]) / self.spread[self.scaled]
        out[:, self.scaled] = (np.clip(values, -1, 1) if self.clipped else values) + 0.0
        return out


def by_rows(rows: Features) -> Scale:
    """Mean 0 and standard deviation 1 over ``rows`` [N, d]; columns of only 0 and 1 stay, a constant is centred."""
    scaled = ~((rows == 0) | (rows == 1)).all(axis=0)
    wide = rows.astype(np.float64)
    constant = wide.min(axis=0) == wide.max(axis=0)
    centre = np.where(constant, wide[0], wide.mean(axis=0))
    return Scale(centre, np.where(constant, 1.0, wide.std(axis=0)), scaled)


def by_bounds(bounds: Sequence[str], columns: int) -> Scale:
    """-1 at the lower bound, 1 at the upper: one ``LOW:HIGH`` for all columns, or one a column; ``0:1`` stays."""
    ends = np.array([_ends(text) for text in bounds], dtype=np.float64)
    if len(ends) not in (1, columns):
        raise UsageError(f"--bounds: {len(ends)} bounds for {columns} columns; give one for all, or one a column.")
    low, high = np.broadcast_to(ends, (columns, 2)).T
    return Scale((low + high) / 2, (high - low) / 2, ~((low == 0) & (high == 1)), clipped=True)


def scaled(dataset: Dataset, division: Division, config: DataConfig) -> Dataset:
    """The data set with its feature columns on the scale that ``config`` asks for; images as they are.

    Raises :class:`UsageError` where the run has too few public records to take a scale from.
    """
    if dataset.is_image or config.scaling == "none":
        return dataset
    rows = np.asarray(dataset.x_train, dtype=np.float32)
    if config.scaling == "bounds":
        scale, how = by_bounds(config.bounds, rows.shape[1]), "by the stated bounds; values outside are clipped"
    elif config.scaling == "private":
        scale, how = by_rows(rows), "by all training records, private ones included, which is a release"
    else:
        known = public_rows(division)
        if len(known) < FEWEST:
            raise UsageError(
                f"{dataset.name} holds features, and their scale is taken from public and auxiliary records, of which "
                f"this run has {len(known)}; raise --auxiliary or --public-size, or give --bounds LOW:HIGH."
            )
        scale, how = by_rows(rows[known]), f"by {len(known):,} public and auxiliary records"
    if not scale.scaled.any():
        return dataset
    note = f"standardised {int(scale.scaled.sum()):,} of {rows.shape[1]:,} columns {how}"
    test = np.asarray(dataset.x_test, dtype=np.float32)
    return replace(dataset, x_train=scale.of(rows), x_test=scale.of(test), notes=(*dataset.notes, note))


def public_rows(division: Division) -> Ids:
    """Records that no client holds: warm-up, public folds and auxiliary, each once, ascending."""
    return np.unique(np.concatenate([division.warmup, *division.public, division.auxiliary])).astype(np.int64)


def _ends(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        colon = ""
        ends = 0.0, 0.0
    if not colon or not np.isfinite(ends).all() or not ends[0] < ends[1]:
        raise UsageError(f"--bounds: '{text}' is not LOW:HIGH, such as 0:100.")
    return ends
