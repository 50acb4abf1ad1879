"""LiRA online: likelihood ratio of two Gaussians fitted to references with and without the record.

Carlini et al. 2022, algorithm 1. Coins must be independent: with exact halves the counts alone give membership away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import evidence_of_rounds
from fedprivacy.attacks.membership.moments import Variance
from fedprivacy.attacks.membership.statistics.two_sided_moments import Hypothesis, hypotheses


@dataclass(frozen=True)
class LiraOnline(EachRound):
    """``variance``: ``fixed`` pools the within-candidate residuals of each side; ``auto`` does so below 64."""

    name: ClassVar[str] = "lira-online"
    needs: ClassVar[frozenset[str]] = frozenset({"references", "in-references"})
    variance: Variance = "auto"

    def rounds(self, signals: Signals) -> Float:
        """``log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out)`` [rounds, n] in nats."""
        found = evidence_of_rounds(signals)
        inside, outside = hypotheses(found, self.variance)
        return _log_density(found.phi, inside) - _log_density(found.phi, outside)


def _log_density(value: Float, side: Hypothesis) -> Float:
    return np.asarray(-0.5 * ((value - side.mean) / side.deviation) ** 2 - np.log(side.deviation))
