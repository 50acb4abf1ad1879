"""Gaussian noise on updates without a bound (Zhu et al. 2019, arXiv 1906.08935, Section 5). Nothing is proven.

Without a clip there is no sensitivity, so noise of any size proves nothing; ``dp-fedavg`` clips first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedprivacy.config.defenses import Budget, GradientNoiseOptions
from fedprivacy.defenses import noise, plan, updates
from fedprivacy.defenses.acts_on import changed
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.payload import Payload, Update
from fedprivacy.wire.release import Release

NAME = "gradient-noise"


@dataclass(frozen=True)
class GradientNoise:
    """``deviation``: standard deviation of the noise on every entry."""

    root: int
    deviation: float

    def outgoing_update(self, update: Update, sender: str, round: int) -> Update:
        source = noise.stream(self.root, NAME, update, sender, round)
        return Update(updates.like(updates.add_noise(update.tensors, self.deviation, source), update.tensors))

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        return self.outgoing_update(payload, sender, round) if isinstance(payload, Update) else payload

    def noise(self, senders: int) -> float:
        return float(self.deviation / senders**0.5)

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_some(NAME, env, releases, changed)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return ()


def build(
    options: GradientNoiseOptions, budget: Budget, env: Environment, releases: Sequence[Release]
) -> GradientNoise:
    """The defense."""
    return GradientNoise(env.root, options.deviation)
