"""Messages whose every record came out exactly: they are counted, since a mean over all messages hides one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedprivacy.metrics.intervals import clopper_pearson
from fedprivacy.study.inversion.reconstructed import BEST, NEAREST, NULL, Case

EXACT_FROM = 60.0
"""PSNR in dB above which a record counts as read exactly: its root mean square error is below a thousandth."""


@dataclass(frozen=True)
class ReadExactly:
    """How many of ``messages`` were read exactly: ``share`` with its Clopper-Pearson interval over those that share no
    record; ``chance``: how many the nearest public records, or another client's message, give."""

    messages: int
    read: int
    share: float
    low: float
    high: float
    chance: float
    records: int
    """Of the messages that were read exactly."""
    psnr: float | None
    """Mean over those records, in dB; None without any."""

    @property
    def words(self) -> str:
        """The count in words."""
        return f"{self.read} of {self.messages} messages, every record of them above {EXACT_FROM:g} dB"


def read_exactly(every: Sequence[Case], level: float) -> ReadExactly:
    """Of one or more messages, whether single records or means of classes came out of them."""
    own = [case for case in every if _whole(case, BEST)]
    guessed = (sum(_whole(case, row) for case in every) / len(every) for row in (NEAREST, NULL))
    units, hit = {case.unit for case in every}, {case.unit for case in own}
    share, interval = len(own) / len(every), clopper_pearson(len(hit), len(units), level)
    values = np.concatenate([case.scores[BEST].psnr for case in own]) if own else np.zeros(0)
    return ReadExactly(
        len(every),
        len(own),
        share,
        min(share, interval.low),
        max(share, interval.high),
        max(guessed),
        len(values),
        float(values.mean()) if own else None,
    )


def _whole(case: Case, row: str) -> bool:
    """Whether ``row`` gives every single record of a message exactly."""
    return case.kind == "records" and row in case.scores and bool((case.scores[row].psnr > EXACT_FROM).all())
