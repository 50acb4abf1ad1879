"""What may be said about the privacy of a run: all that a claim must name, or it is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fedprivacy.privacy.events import Relation, Unit

TRANSCRIPT = "whole transcript"
RECEIVERS = "receivers of what the trusted server sends, not the server"
SEEDED = "seeded noise: measurement only, no guarantee"


@dataclass(frozen=True)
class Claim:
    """An upper bound on what a run reveals of one unit, for the worst client and record."""

    unit: Unit
    relation: Relation
    epsilon: float
    """Infinite where something left without noise."""
    delta: float
    adversary: str
    """Who sees what: the noise protects against nobody else."""
    accountant: str
    releases: int
    """Releases that the worst record pays for."""
    worst: str = ""
    """Client, and fold of its records, for which epsilon is largest."""
    cross_check: float | None = None
    """Epsilon by a second accountant."""
    vacuous: bool = False
    """Delta is so large that giving one record away at random would pass."""
    seeded: bool = True
    """The noise came from a named seed: who knows the seed can take it off again."""
    why: str = ""

    @property
    def finite(self) -> bool:
        """Whether anything is proven at all."""
        return math.isfinite(self.epsilon)
