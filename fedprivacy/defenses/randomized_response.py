"""Randomised response on the predicted labels of the public fold (Warner 1965; Kairouz et al. 2016).

A label is kept with probability e^e0 / (e^e0 + C - 1) and is any other one otherwise. No clipping: whatever the true
label was and has become, the likelihood of any answer changes by a factor of at most e^e0. A changed record may change
every label of the fold, so a fold of N labels costs N answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fedprivacy.config.defenses import Budget, RandomizedResponseOptions
from fedprivacy.defenses import matrices, noise, plan
from fedprivacy.defenses.acts_on import answered
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.privacy import RandomizedResponse as ResponseMechanism
from fedprivacy.privacy.calibration import response_epsilon0
from fedprivacy.privacy.closed_forms import kept_share
from fedprivacy.wire.payload import Payload, Predictions
from fedprivacy.wire.release import Release

NAME = "randomized-response"


@dataclass(frozen=True)
class RandomizedResponse:
    """Labels in, labels out; probabilities and logits become labels first."""

    root: int
    epsilon0: float
    classes: int
    labels: int
    """Labels of one message."""

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        if not isinstance(payload, Predictions):
            raise TypeError(f"randomised response was planned for predictions, not for {payload.kind}")
        true = matrices.predicted(payload)
        source = noise.stream(self.root, NAME, payload, sender, round)
        kept = torch.rand(true.shape, generator=source, dtype=torch.float64) < kept_share(self.epsilon0, self.classes)
        other = (true + torch.randint(1, self.classes, true.shape, generator=source)) % self.classes
        return matrices.as_labels(torch.where(kept, true, other))

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, answered)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return plan.events(env, releases, ResponseMechanism(self.epsilon0, self.classes, self.labels))


def build(
    options: RandomizedResponseOptions, budget: Budget, env: Environment, releases: Sequence[Release]
) -> RandomizedResponse:
    """The defense with noise for the whole run, or with a stated privacy of one label."""
    plan.check_every(NAME, env, releases, answered)
    classes, rows = len(env.dataset.classes), plan.public_rows(env)
    epsilon0 = options.epsilon0
    if epsilon0 is None:
        if budget.epsilon is None:
            raise ValueError("randomised response needs epsilon or epsilon0")
        number = rows * plan.most_sends(env, releases)
        epsilon0 = response_epsilon0(budget.epsilon, budget.delta, classes, number)
    return RandomizedResponse(env.root, epsilon0, classes, rows)
