"""BASE: the target's log-probability against the log of the references' mean probability (Lassila et al. 2025).

Online it averages over references that did and did not train on the record, so coins must be independent; offline it
takes OUT references alone and discounts them. Probabilities are softmaxes at a temperature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import TEMPERATURE, Evidence, evidence_of_rounds
from fedprivacy.attacks.membership.logits import logsumexp, one_minus_p, true_logp
from fedprivacy.attacks.membership.moments import fill_empty, masked_mean
from fedprivacy.attacks.membership.remembered import remembered


def log_mean_p(missing: Float, logp: Float, mask: Bool) -> tuple[Float, Int]:
    """``logsumexp_s logp_s - log n`` over the references in ``mask``, [S, ...] -> [...], and n; 0 where there is none.

    ``missing``: one minus the probabilities behind ``logp``, of the same shape.
    """
    missed, count = masked_mean(missing, mask)
    masked = np.where(mask, logp, -np.inf)
    spread = logsumexp(masked, axis=0) - np.log(np.maximum(count, 1))
    # Near p = 1 the mean of 1 - p holds the digits, elsewhere the log-sum-exp does.
    near_one = np.log1p(-np.minimum(missed, 0.5))
    return np.where(count == 0, 0.0, np.where(missed < 0.5, near_one, spread)), count


@remembered
def levels(found: Evidence) -> tuple[tuple[Float, Int], tuple[Float, Int]]:
    """:func:`log_mean_p` over all references, and over those that were not trained on a candidate."""

    def both(margins: Float, outside: Bool, inside: Bool) -> tuple[Float, Int, Float, Int]:
        missing, logp = one_minus_p(margins), true_logp(margins)
        offline = log_mean_p(missing, logp, outside)
        return (*(log_mean_p(missing, logp, outside | inside) if inside.any() else offline), *offline)

    every, counts, theirs, own_counts = found.over_references(both)
    return (every, counts), (theirs, own_counts)


def base_score(signals: Signals, temperature: float, weight: float, online: bool) -> Float:
    """``logp_T - weight * log mean p_T,s`` [rounds, n]."""
    found = evidence_of_rounds(signals, temperature)
    level, count = levels(found)[0 if online else 1]
    return np.asarray(true_logp(found.phi) - weight * fill_empty(level, count, found.labels))


@dataclass(frozen=True)
class BaseOnline(EachRound):
    """All references, IN and OUT."""

    name: ClassVar[str] = "base-online"
    needs: ClassVar[frozenset[str]] = frozenset({"references", "in-references"})
    temperature: float = TEMPERATURE

    def rounds(self, signals: Signals) -> Float:
        """``logp_T - [logsumexp_s logp_T,s - log S]`` [rounds, n] in nats."""
        return base_score(signals, self.temperature, 1.0, online=True)


@dataclass(frozen=True)
class BaseOffline(EachRound):
    """OUT references alone, discounted by ``weight``."""

    name: ClassVar[str] = "base-offline"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})
    temperature: float = TEMPERATURE
    weight: float = 0.33

    def rounds(self, signals: Signals) -> Float:
        """``logp_T - weight * [logsumexp_OUT logp_T,s - log n_OUT]`` [rounds, n] in nats."""
        return base_score(signals, self.temperature, self.weight, online=False)
