"""Softened predictions: logits over a temperature. Nothing is proven, and who knows the temperature undoes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.config.defenses import Budget, TemperatureOptions
from fedprivacy.defenses import plan
from fedprivacy.defenses.acts_on import tempered
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.release import Release

NAME = "temperature"


@dataclass(frozen=True)
class Temperature:
    """Above 1 softens, below 1 sharpens."""

    temperature: float

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions):
            return payload
        if payload.form == "logits":
            return Predictions(payload.values / self.temperature, "logits")
        if payload.form == "probabilities":
            return Predictions(softened(payload.values, self.temperature), "probabilities")
        return payload

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_some(NAME, env, releases, tempered)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()


def softened(values: Tensor, temperature: float) -> Tensor:
    """Probabilities [N, C], or [N, 1] of class 1, of the same logits over ``temperature``."""
    wide = values.double()
    if values.shape[1] == 1:
        return torch.sigmoid(torch.logit(wide) / temperature).to(values.dtype)
    return torch.softmax(wide.log().clamp_min(-1e6) / temperature, dim=1).to(values.dtype)


def build(options: TemperatureOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> Temperature:
    """The defense."""
    return Temperature(options.temperature)
