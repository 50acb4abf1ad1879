"""What an audit returns: a lower bound of epsilon with its ceiling, or an interval that is no bound at all.

The two are different types, so that nothing but a bound can be held against a claim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fedprivacy.metrics.intervals import check_level

Curve = Literal["dp", "gaussian"]

ASSUMPTIONS: Mapping[Curve, str] = {
    "dp": "none on the mechanism",
    "gaussian": "the mechanism's trade-off curve is Gaussian",
}


@dataclass(frozen=True)
class EpsilonBound:
    """The mechanism is not (epsilon, ``delta``)-DP for any epsilon below ``low``, at confidence ``level``.

    It speaks of the unit and the neighbouring relation that the coins play. ``ceiling`` is the bound that a perfect
    attack would have got from as many canaries by the same ``method``: a claim at or above it could not be refuted,
    and a ``low`` of 0 is no evidence of privacy. ``assumption`` is what the bound needs beyond fair independent
    coins. ``detail`` holds the counts behind it.
    """

    low: float
    ceiling: float
    method: str
    level: float
    delta: float
    assumption: str
    detail: Mapping[str, float] = field(default_factory=dict)
    reachable: float | None = None
    """What the strongest adversary of a mechanism exactly as claimed would get, half of the time; None: unknown."""

    def __post_init__(self) -> None:
        if not 0 <= self.low < math.inf or not self.ceiling >= 0:
            raise ValueError(f"a bound is finite and never negative, got {self.low} under {self.ceiling}.")

    def describe(self) -> str:
        """The counts in one line: ``m=1000, r=100, v=95``."""
        return ", ".join(f"{name}={number:g}" for name, number in self.detail.items())


@dataclass(frozen=True)
class CredibleEpsilon:
    """A Bayesian credible interval of epsilon. Not a bound and never a verdict: on noise, ``low`` is above 0."""

    low: float
    high: float
    method: str
    level: float
    delta: float


def check_audit(level: float, delta: float) -> float:
    """The error 1 - ``level`` of an audit; raises ValueError unless 0 < level < 1 and 0 <= delta < 1."""
    if not 0 <= delta < 1:
        raise ValueError(f"delta must lie in [0, 1), got {delta}.")
    return check_level(level)
