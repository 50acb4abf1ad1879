"""Probabilities in few bits, both ways. Fewer bytes; nothing is proven: epsilon is infinite.

Rounding is a deterministic function of the prediction, so a record that moves a probability across a level is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.config.defenses import Budget, QuantiseOptions
from fedprivacy.defenses import plan
from fedprivacy.defenses.acts_on import quantised
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.payloads import QuantisedPredictions
from fedprivacy.wire.release import Release

NAME = "quantise"


@dataclass(frozen=True)
class Quantise:
    """``bits`` a probability: 2^bits uniform levels from 0 to 1, packed on the wire."""

    bits: int

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions) or payload.form != "probabilities":
            return payload
        rows, columns = payload.values.shape
        return QuantisedPredictions(packed(levels(payload.values, self.bits), self.bits), rows, columns, self.bits)

    def relayed(self, payload: Payload, round: int) -> Payload:
        """What the server sends has the same form; values that are on the levels already stay as they are."""
        return self.outgoing(payload, "server", round)

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_some(NAME, env, releases, quantised)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()


def levels(values: Tensor, bits: int) -> Tensor:
    """The nearest of 2^bits uniform levels, as whole numbers (uint8), of values in [0, 1]."""
    return (values.clamp(0, 1) * ((1 << bits) - 1)).round().to(torch.uint8)


def packed(codes: Tensor, bits: int) -> Tensor:
    """Whole numbers below 2^bits, row after row, 8 / bits in a byte, the first in the lowest bits."""
    each = 8 // bits
    flat = torch.zeros(-(-codes.numel() // each) * each, dtype=torch.int64)
    flat[: codes.numel()] = codes.flatten()
    found: Tensor = (flat.view(-1, each) << torch.arange(0, 8, bits)).sum(dim=1)
    return found.to(torch.uint8)


def build(options: QuantiseOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> Quantise:
    """The defense."""
    return Quantise(options.bits)
