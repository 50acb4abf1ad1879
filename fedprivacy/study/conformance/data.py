"""What a data set promises: the same records each time, labelled, and fit to be divided."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fedprivacy.config.run import DataConfig
from fedprivacy.data.records import Dataset
from fedprivacy.data.sources import load
from fedprivacy.study.conformance.checked import Look, hold


def looks(name: str) -> Iterator[tuple[str, Look]]:
    """The properties of the data set from outside that is called ``name``."""
    config = DataConfig(dataset=name)
    found: list[Dataset] = []

    def read() -> str:
        data = load(config)
        found.append(data)
        counts = np.bincount(data.y_train, minlength=len(data.classes))
        what = f"{len(data.y_train):,} training and {len(data.y_test):,} test records of shape {list(data.shape)}"
        return f"{what}, {len(data.classes)} classes of {counts.min():,} to {counts.max():,}"

    def again() -> str:
        hold(load(config).digest == found[0].digest, "two reads differ; fix its order and its randomness")
        return ""

    def enough() -> str:
        size = len(found[0].y_train)
        hold(size >= 40, f"{size} training records cannot be shared between clients, public records and the adversary")
        return ""

    def notes() -> str:
        return "; ".join(found[0].notes)

    yield "it can be read", read
    yield "the same each time", again
    yield "enough to play", enough
    yield "what was changed on the way", notes
