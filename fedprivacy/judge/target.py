"""What is scored, and what its findings are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int, Truth
from fedprivacy.metrics.pooling import pool, pool_by_rank


@dataclass(frozen=True)
class Label:
    """What the findings of one scoring are called."""

    observation: str
    adversary: str
    statistic: str
    level: float
    headline: bool
    note: str = ""


@dataclass(frozen=True, eq=False)
class Target:
    """One client of one repetition: its scores [n], and the truth about the same candidates."""

    name: str
    scores: Float
    truth: Truth
    odds: bool = False
    """Whether the scores share a scale over targets, as log-odds of membership do."""

    def scored(self) -> tuple[Float, Bool]:
        """Scores and coins of the candidates that were observed at all."""
        known = ~np.isnan(self.scores)
        return self.scores[known], self.truth.coins[known]

    def non_members(self) -> Int | None:
        """Which record each non-member is that was observed; None where nobody knows."""
        records = self.truth.records
        return None if records is None else records[~np.isnan(self.scores) & ~self.truth.coins]


def pooled(targets: Sequence[Target], odds: bool) -> tuple[Float, Float]:
    """Scores of members and of non-members of all ``targets``: as they are where they are ``odds``, else by rank."""
    pairs = [one.scored() for one in targets]
    return (pool if odds else pool_by_rank)([scores for scores, _ in pairs], [coins for _, coins in pairs])


Seeds = Sequence[int]
"""Which seed each repetition belongs to."""
