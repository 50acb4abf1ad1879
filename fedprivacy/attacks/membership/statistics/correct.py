"""Correctness: members are classified right more often (Yeom et al. 2018, the gap attack)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import predictions


@dataclass(frozen=True)
class Correct(EachRound):
    """1 where the most likely class is the label, else 0. Two values, so only tie-safe metrics may judge it.

    All that a hard label allows. Under the rule ``mean`` it becomes the frequency over several exposures.
    """

    name: ClassVar[str] = "correct"
    needs: ClassVar[frozenset[str]] = frozenset()

    def rounds(self, signals: Signals) -> Float:
        """0 or 1 [rounds, n]."""
        right = predictions(signals).argmax(axis=-1) == signals.labels
        return np.asarray(right, dtype=np.float64)
