"""Ratio: the target's probability over what a model of unknown membership would give (Zarifzadeh et al. 2024).

This is RMIA's inner ratio, its denominator the offline approximation ``0.5((1 + a) pbar + (1 - a))``. Everything is
computed from the margin: ``1 - p = expit(-phi)`` keeps its digits where p itself rounds to 1, so two very sure
predictions still differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import Evidence, evidence_of_rounds
from fedprivacy.attacks.membership.logits import one_minus_p, true_logp
from fedprivacy.attacks.membership.moments import fill_empty, masked_mean
from fedprivacy.attacks.membership.remembered import remembered


def log_ratio(margin: Float, missed: Float, a: float) -> Float:
    """``log p - log(0.5((1 + a) pbar + 1 - a))`` from phi and ``missed = 1 - pbar``, same shapes.

    The denominator is ``1 - 0.5 (1 + a)(1 - pbar)``, at least ``0.5 (1 - a)``.
    """
    return np.asarray(true_logp(margin) - np.log1p(-0.5 * (1 + a) * missed))


@remembered
def evidence_log_ratio(found: Evidence, a: float) -> Float:
    """Log ratio [rounds, n] against the plain mean over OUT references, class mean of ``pbar`` where there is none."""
    missed, count = found.over_references(lambda margins, outside, _: masked_mean(one_minus_p(margins), outside))
    return log_ratio(found.phi, fill_empty(missed, count, found.labels), a)


@dataclass(frozen=True)
class Ratio(EachRound):
    """The default wherever there are references. ``a``: how far an IN model's probability lies above an OUT one's."""

    name: ClassVar[str] = "ratio"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})
    a: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.a < 1:
            raise ValueError(f"a must lie in [0, 1), not {self.a}")

    def rounds(self, signals: Signals) -> Float:
        """Log of the ratio [rounds, n] in nats."""
        return evidence_log_ratio(evidence_of_rounds(signals), self.a)
