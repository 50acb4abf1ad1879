"""BaVarIA-t: LiRA online with Student-t predictives, so that few references do not feign a sharp variance.

From a normal-inverse-gamma prior centred on the pooled variance: the idea of Brännvall 2026 (arXiv 2603.11799), with
constants of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import gammaln

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import evidence_of_rounds
from fedprivacy.attacks.membership.statistics.two_sided_moments import Hypothesis, hypotheses


@dataclass(frozen=True)
class Bavaria(EachRound):
    """``strength``: how many observations the pooled variance counts for (v0)."""

    name: ClassVar[str] = "bavaria"
    needs: ClassVar[frozenset[str]] = frozenset({"references", "in-references"})
    strength: float = 4.0

    def rounds(self, signals: Signals) -> Float:
        """``log t_v(phi; mu_in, q_in) - log t_v(phi; mu_out, q_out)`` [rounds, n] in nats.

        ``v = v0 + n - 1``, ``q^2 = (1 + 1/n)(v0 s^2 + SS)/v`` with s the fixed variance of that side. A candidate
        with n = 0 references on a side is treated as having one, at the class mean.
        """
        found = evidence_of_rounds(signals)
        inside, outside = hypotheses(found, "fixed")
        return self._log_t(found.phi, inside) - self._log_t(found.phi, outside)

    def _log_t(self, value: Float, side: Hypothesis) -> Float:
        n = np.maximum(side.count, 1)
        v = self.strength + n - 1
        q2 = (1 + 1 / n) * (self.strength * side.deviation**2 + side.squares) / v
        freedom = self.strength + np.arange(n.max())  # of every count once
        peak = (gammaln((freedom + 1) / 2) - gammaln(freedom / 2))[n - 1]
        scale = peak - 0.5 * np.log(v * np.pi * q2)
        return np.asarray(scale - (v + 1) / 2 * np.log1p((value - side.mean) ** 2 / (v * q2)))
