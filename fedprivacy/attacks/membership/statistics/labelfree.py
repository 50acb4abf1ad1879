"""Confidence and entropy: how sure the target is, whatever the label (Salem et al. 2019, "ML-Leaks", adversary 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.evidence import single_round
from fedprivacy.attacks.membership.logits import phi


@dataclass(frozen=True)
class Confidence:
    """Largest probability, as the margin of the most likely class: the same order as ``max_c p_c``, unsaturated."""

    name: ClassVar[str] = "confidence"
    needs: ClassVar[frozenset[str]] = frozenset()

    def score(self, signals: Signals) -> Float:
        """``log p_max - log(1 - p_max)`` [n]."""
        logp = single_round(signals)
        return phi(logp, logp.argmax(axis=-1))


@dataclass(frozen=True)
class Entropy:
    """Minus the entropy of the prediction, in nats."""

    name: ClassVar[str] = "entropy"
    needs: ClassVar[frozenset[str]] = frozenset()

    def score(self, signals: Signals) -> Float:
        """``sum_c p_c log p_c`` [n], at most 0."""
        logp = single_round(signals)
        return np.asarray((np.exp(logp) * logp).sum(axis=-1))
