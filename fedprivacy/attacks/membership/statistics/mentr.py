"""Modified entropy: entropy that also knows the true label (Song and Mittal 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.evidence import single_round
from fedprivacy.attacks.membership.logits import log1m


@dataclass(frozen=True)
class ModifiedEntropy:
    """Minus the modified entropy, every ``log(1 - p)`` by log-sum-exp."""

    name: ClassVar[str] = "mentr"
    needs: ClassVar[frozenset[str]] = frozenset()

    def score(self, signals: Signals) -> Float:
        """``(1 - p_y) log p_y + sum_{c != y} p_c log(1 - p_c)`` [n], at most 0."""
        logp = single_round(signals)
        rest = log1m(logp)
        rows = np.arange(len(logp))
        wrong = np.exp(logp) * rest
        wrong[rows, signals.labels] = 0.0
        own = np.exp(rest[rows, signals.labels]) * logp[rows, signals.labels]
        return np.asarray(own + wrong.sum(axis=-1))
