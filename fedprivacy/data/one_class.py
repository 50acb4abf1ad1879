"""One class against all others: a task of two classes, imbalanced where there were many."""

from __future__ import annotations

import numpy as np

from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.data.raw import Part, Raw


def against_the_rest(raw: Raw, positive: str) -> Raw:
    """``raw`` with the labels "not ``positive``" (0) and ``positive`` (1). UsageError where there is no such class."""
    if positive not in raw.classes:
        raise UsageError(f"--positive: the data have no class '{positive}'. {near_miss(positive, raw.classes)}")
    place = raw.classes.index(positive)

    def part(whole: Part) -> Part:
        return Part(whole.x, (whole.y == place).astype(np.int64))

    test = None if raw.test is None else part(raw.test)
    return Raw(part(raw.train), test, (f"not {positive}", positive), raw.notes)
