"""Calibrated loss: how much surer the target is than models that never saw the record (Watson et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import evidence_of_rounds
from fedprivacy.attacks.membership.logits import true_logp
from fedprivacy.attacks.membership.moments import fill_empty, masked_mean


@dataclass(frozen=True)
class Calibrated(EachRound):
    """Difficulty calibration of the log-probability."""

    name: ClassVar[str] = "calibrated"
    needs: ClassVar[frozenset[str]] = frozenset({"references"})

    def rounds(self, signals: Signals) -> Float:
        """``logp - mean_OUT logp_s`` [rounds, n] in nats; the class mean stands in where no reference is OUT."""
        found = evidence_of_rounds(signals)
        mean, count = found.over_references(lambda margins, outside, _: masked_mean(true_logp(margins), outside))
        return true_logp(found.phi) - fill_empty(mean, count, found.labels)
