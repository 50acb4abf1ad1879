"""Loss: the surer the target is of the true label, the likelier a member (Yeom et al. 2018). No references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import margins_of_rounds


@dataclass(frozen=True)
class Loss(EachRound):
    """``phi``: ranks exactly as minus the cross-entropy does, ``loss = softplus(-phi)``, but never saturates."""

    name: ClassVar[str] = "loss"
    needs: ClassVar[frozenset[str]] = frozenset()

    def rounds(self, signals: Signals) -> Float:
        """phi [rounds, n] in nats."""
        return margins_of_rounds(signals)
