"""Modified entropy: entropy that also knows the true label (Song and Mittal 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import predictions
from fedprivacy.attacks.membership.logits import log1m


@dataclass(frozen=True)
class ModifiedEntropy(EachRound):
    """Minus the modified entropy, every ``log(1 - p)`` by log-sum-exp."""

    name: ClassVar[str] = "mentr"
    needs: ClassVar[frozenset[str]] = frozenset()

    def rounds(self, signals: Signals) -> Float:
        """``(1 - p_y) log p_y + sum_{c != y} p_c log(1 - p_c)`` [rounds, n], at most 0."""
        logp = predictions(signals)
        rest = log1m(logp)
        rows = np.arange(len(signals.labels))
        wrong = np.exp(logp) * rest
        wrong[:, rows, signals.labels] = 0.0
        own = np.exp(rest[:, rows, signals.labels]) * logp[:, rows, signals.labels]
        return np.asarray(own + wrong.sum(axis=-1))
