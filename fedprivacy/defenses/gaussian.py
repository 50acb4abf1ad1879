"""Gaussian noise on predictions: the matrix of a client is clipped as a whole, then noised before it leaves.

Sensitivity. Let f(D) be the centred, clipped matrix of the model trained on D; its Frobenius norm is at most B. One
record more or less, or another, may change the model in any way, so f moves anywhere within that ball: by at most 2B,
which two opposite matrices reach. The noise on every entry is N(0, (z 2B)^2) with z the noise multiplier. The same
figure holds for replacing all records of a client. Every later release pays again, for every later model still holds
the record. Mechanism: Dwork and Roth 2014; calibration: Balle and Wang 2018 (arXiv 1805.06530).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fedprivacy.config.defenses import Budget, GaussianOptions
from fedprivacy.defenses import noise, plan
from fedprivacy.defenses.acts_on import clipped
from fedprivacy.defenses.clip import Clip, clip_for
from fedprivacy.defenses.gaussian_aggregate import NAME, GaussianAggregate
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense
from fedprivacy.privacy import PrivacyEvent, Unit
from fedprivacy.wire.payload import Payload
from fedprivacy.wire.release import Release


@dataclass(frozen=True)
class Gaussian:
    """Noise at each client. Holds against everybody who sees the wire."""

    root: int
    clip: Clip
    noise_multiplier: float
    unit: Unit

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise on every entry."""
        return self.noise_multiplier * 2 * self.clip.bound

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        clipped = self.clip.clipped(payload)
        source = noise.stream(self.root, NAME, payload, sender, round)
        return self.clip.opened(clipped + noise.gaussian(clipped.shape, self.deviation, source))

    def silent(self) -> Gaussian:
        return replace(self, noise_multiplier=0.0)

    def log_ratio(self, sent: Tensor, one: Tensor, other: Tensor) -> float:
        middle = sent.double() - (one.double() + other.double()) / 2
        return float((middle * (one - other)).sum()) / max(self.deviation, noise.LEAST) ** 2

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, clipped)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        mechanism = plan.gaussian(self.noise_multiplier)
        return plan.events(env, releases, mechanism, self.unit, plan.relation_of(self.unit))


def build(options: GaussianOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> Defense:
    """The defense with noise for the whole run, at the clients or at the server."""
    plan.check_every(NAME, env, releases, clipped)
    clip = clip_for(NAME, env, releases[0], options.clip, options.project)
    multiplier = plan.multiplier_for(budget, plan.most_sends(env, releases))
    if options.placement == "aggregator":
        return GaussianAggregate(env.root, clip, multiplier, options.unit)
    return Gaussian(env.root, clip, multiplier, options.unit)
