"""Confidence and entropy: how sure the target is, whatever the label (Salem et al. 2019, "ML-Leaks", adversary 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import predictions
from fedprivacy.attacks.membership.logits import phi


@dataclass(frozen=True)
class Confidence(EachRound):
    """Largest probability, as the margin of the most likely class: the same order as ``max_c p_c``, unsaturated."""

    name: ClassVar[str] = "confidence"
    needs: ClassVar[frozenset[str]] = frozenset()

    def rounds(self, signals: Signals) -> Float:
        """``log p_max - log(1 - p_max)`` [rounds, n]."""
        logp = predictions(signals)
        return np.stack([phi(one, one.argmax(axis=-1)) for one in logp])


@dataclass(frozen=True)
class Entropy(EachRound):
    """Minus the entropy of the prediction, in nats."""

    name: ClassVar[str] = "entropy"
    needs: ClassVar[frozenset[str]] = frozenset()

    def rounds(self, signals: Signals) -> Float:
        """``sum_c p_c log p_c`` [rounds, n], at most 0."""
        logp = predictions(signals)
        return np.asarray((np.exp(logp) * logp).sum(axis=-1))
