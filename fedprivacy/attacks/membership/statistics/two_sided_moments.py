"""Means, spreads and counts of a margin under both hypotheses: trained on the record, and not."""

from __future__ import annotations

from dataclasses import dataclass

from fedprivacy.adversary.threat import Float, Int
from fedprivacy.attacks.membership.evidence import Evidence, in_and_out_moments
from fedprivacy.attacks.membership.moments import (
    Variance,
    fill_empty,
    pooled_variance,
    spread,
)


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """Of one side: mean [n] (class mean where ``count`` is 0), deviation [n], sum of squares [n], count [n]."""

    mean: Float
    deviation: Float
    squares: Float
    count: Int


def hypotheses(found: Evidence, variance: Variance) -> tuple[Hypothesis, Hypothesis]:
    """IN and OUT. A side too small to have a variance borrows the other's. ValueError if a side has no reference."""
    sides = [
        (fill_empty(mean, count, found.labels), squares, count) for mean, squares, count in in_and_out_moments(found)
    ]
    pooled = [pooled_variance(squares, count) for _, squares, count in sides]
    references = len(found.included)
    inside, outside = (
        Hypothesis(mean, spread(squares, count, references, variance, pooled[1 - side]), squares, count)
        for side, (mean, squares, count) in enumerate(sides)
    )
    return inside, outside
