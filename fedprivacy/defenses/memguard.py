"""Label-preserving perturbation after MemGuard (Jia et al. 2019, arXiv 1909.10594). Nothing is proven.

MemGuard finds, for each prediction, a perturbation that keeps the label and brings a membership classifier to a coin's
toss, and applies it at random so that the expected L1 distortion stays within a budget. Its classifier is a network
trained by the defender; here it is the confidence, held against the median of the predictions that are sent together.
A prediction more confident than that is mixed with the uniform one, which keeps the order of the classes, until it is
not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.config.defenses import Budget, MemGuardOptions
from fedprivacy.defenses import noise, plan
from fedprivacy.defenses.acts_on import perturbed
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.release import Release

NAME = "memguard"


@dataclass(frozen=True)
class MemGuard:
    """``distortion``: largest expected L1 distance between a record's true and sent probabilities."""

    root: int
    distortion: float

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions) or payload.form != "probabilities":
            return payload
        both = payload.values.double()
        one_column = both.shape[1] == 1
        if one_column:
            both = torch.cat([1 - both, both], dim=1)
        masked = representative(both)
        distance = (masked - both).abs().sum(dim=1)
        source = noise.stream(self.root, NAME, payload, sender, round)
        applied = torch.rand(len(both), generator=source, dtype=torch.float64) * distance < self.distortion
        sent = torch.where(applied[:, None], masked, both)
        return Predictions((sent[:, 1:] if one_column else sent).to(payload.values.dtype), "probabilities")

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_some(NAME, env, releases, perturbed)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()


def representative(values: Tensor) -> Tensor:
    """Rows [N, C] mixed with the uniform distribution until none is more confident than their median."""
    uniform = 1 / values.shape[1]
    top = values.amax(dim=1, keepdim=True)
    target = top.median()
    share = ((top - target) / (top - uniform).clamp_min(1e-12)).clamp(0, 1)
    return values * (1 - share) + share * uniform


def build(options: MemGuardOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> MemGuard:
    """The defense."""
    return MemGuard(env.root, options.distortion)
