"""RMIA: the share of auxiliary non-members that the candidate beats by a factor (Zarifzadeh et al. 2024).

Within one target this is a monotone function of the ratio, so it buys no better ROC, only a common scale; its ties
cost resolution, which is why ties are broken by the ratio here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Int, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import evidence_of_rounds, population_evidence
from fedprivacy.attacks.membership.statistics.ratio import evidence_log_ratio


def beaten(log_ratio: Float, population_log_ratio: Float, gamma: float) -> Int:
    """``#{z: r_z <= r_x / gamma}`` for every candidate, [n] and [M] -> [n], by one sort of the M ratios."""
    ordered = np.sort(population_log_ratio)
    return np.asarray(np.searchsorted(ordered, log_ratio - np.log(gamma), side="right"), dtype=np.int64)


def lexicographic(count: Int, log_ratio: Float, total: int) -> Float:
    """The order of ``(count, ratio)`` as one number [n]: ``(count + f) / total``, f in [0, 1) rising with the ratio.

    f is the number of distinct smaller ratios over n, so candidates tie only if both parts tie. Without f this is
    RMIA's own score, and f moves it by less than one step of 1 / total. Across targets f means nothing.
    """
    _, order = np.unique(log_ratio, return_inverse=True)
    return np.asarray((count + order / max(len(log_ratio), 1)) / total)


@dataclass(frozen=True)
class Rmia(EachRound):
    """``gamma``: the factor by which a population record must be beaten; ``a`` as in the ratio."""

    name: ClassVar[str] = "rmia"
    needs: ClassVar[frozenset[str]] = frozenset({"references", "population"})
    gamma: float = 2.0
    a: float = 0.3

    def __post_init__(self) -> None:
        if not (self.gamma >= 1 and 0 <= self.a < 1):
            raise ValueError(f"gamma must be at least 1 and a in [0, 1), not {self.gamma} and {self.a}")

    def rounds(self, signals: Signals) -> Float:
        """``#{z: r_z <= r_x / gamma} / M`` [rounds, n], ties broken by the ratio."""
        own = evidence_log_ratio(evidence_of_rounds(signals), self.a)
        others = evidence_log_ratio(population_evidence(signals), self.a)
        pairs = zip(own, others, strict=True)
        return np.stack([lexicographic(beaten(x, z, self.gamma), x, len(z)) for x, z in pairs])
