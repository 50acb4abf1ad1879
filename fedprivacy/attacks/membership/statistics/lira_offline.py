"""LiRA offline: how far the margin lies above what models without the record give (Carlini et al. 2022).

The test is one-sided: a margin far *below* the OUT mean is the strongest sign of a non-member. The two-sided density,
kept as an option, scores it as the strongest member instead.

Co-op LiRA (Privacy_PDAFD) takes the other clients of the same federation as references and trains nothing. Distil-LiRA
takes surrogates distilled from the target's own predictions: same formula, other references.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import Evidence, evidence_of_rounds, never_trained, outside_moments
from fedprivacy.attacks.membership.moments import Variance, fill_empty, spread

Sides = Literal["one", "two"]


def offline_z(found: Evidence, variance: Variance = "auto") -> tuple[Float, Float]:
    """``z = (phi - mu_out) / s_out`` and ``s_out``, both [rounds, n]; ``mu_out`` is a class mean where nothing is
    OUT."""
    mean, squares, count = outside_moments(found)
    deviation = spread(squares, count, len(found.included), variance)
    return (found.phi - fill_empty(mean, count, found.labels)) / deviation, deviation


def offline_score(found: Evidence, variance: Variance, sides: Sides) -> Float:
    """z, or minus the log density under OUT (up to a constant) for two sides."""
    z, deviation = offline_z(found, variance)
    return z if sides == "one" else 0.5 * z**2 + np.log(deviation)


@dataclass(frozen=True)
class LiraOffline(EachRound):
    """``variance``: fixed below 64 references under ``auto``; ``sides``: ``one``, or ``two`` for the density."""

    name: ClassVar[str] = "lira-offline"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})
    variance: Variance = "auto"
    sides: Sides = "one"

    def rounds(self, signals: Signals) -> Float:
        """z [rounds, n]; never its normal cdf, which rounds to 1 from z = 8.3 on."""
        return offline_score(evidence_of_rounds(signals), self.variance, self.sides)


@dataclass(frozen=True)
class CoopLira(EachRound):
    """The same with only those references that trained on no candidate, such as the other clients."""

    name: ClassVar[str] = "coop-lira"
    needs: ClassVar[frozenset[str]] = frozenset({"references", "never-trained"})
    variance: Variance = "auto"
    sides: Sides = "one"

    def rounds(self, signals: Signals) -> Float:
        """z [rounds, n] against the references that were trained on no candidate."""
        return offline_score(never_trained(evidence_of_rounds(signals)), self.variance, self.sides)


@dataclass(frozen=True)
class DistilLira(EachRound):
    """The same with surrogates of the target as references; the target's margin comes from a planted probe."""

    name: ClassVar[str] = "distil-lira"
    needs: ClassVar[frozenset[str]] = frozenset({"references", "surrogates"})
    variance: Variance = "auto"
    sides: Sides = "one"

    def rounds(self, signals: Signals) -> Float:
        """z [rounds, n] against the surrogates."""
        return offline_score(never_trained(evidence_of_rounds(signals)), self.variance, self.sides)


@dataclass(frozen=True)
class FedMia(EachRound):
    """Mean over rounds of the co-op z, after the idea of FedMIA: several rounds, other clients as references.

    The paper weighs rounds and signals by a rule of its own; this is the plain mean. Where that is the rule for all
    statistics it is ``coop-lira``, and of one round it is no mean at all.
    """

    name: ClassVar[str] = "fedmia"
    needs: ClassVar[frozenset[str]] = frozenset({"references", "never-trained", "several-rounds"})
    over_rounds: ClassVar[str] = "mean"
    twin: ClassVar[str] = "coop-lira"
    variance: Variance = "auto"

    def rounds(self, signals: Signals) -> Float:
        """z [rounds, n]; ``combine.score_candidates`` takes the mean over the usable rounds."""
        return offline_z(never_trained(evidence_of_rounds(signals)), self.variance)[0]
