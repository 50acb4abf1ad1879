"""Gaussian noise on the mean prediction, by a server that is trusted with the clients' own matrices.

Sensitivity. Each client clips its centred matrix to Frobenius norm B. In the mean of K only one summand moves when a
record, or all records, of one client change, by at most 2B: 2B/K. Noise N(0, (z 2B/K)^2) on every entry of the mean,
which is all that the server sends on; K, the messages that arrived, is public. The claim is against the receivers
alone: the server has seen everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from fedprivacy.defenses import noise, plan
from fedprivacy.defenses.acts_on import clipped_mean
from fedprivacy.defenses.clip import Clip
from fedprivacy.federation.environment import Environment
from fedprivacy.privacy import PrivacyEvent, Unit
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Payload
from fedprivacy.wire.release import Release

NAME = "gaussian"


@dataclass(frozen=True)
class GaussianAggregate:
    """Noise at the server, on a mean of clipped matrices."""

    root: int
    clip: Clip
    noise_multiplier: float
    unit: Unit

    def deviation(self, clients: int) -> float:
        """Standard deviation of the noise on every entry of the mean over ``clients``."""
        return self.noise_multiplier * 2 * self.clip.bound / clients

    @property
    def _plain(self) -> Clip:
        return replace(self.clip, project=False)

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        return self._plain.opened(self.clip.clipped(payload))

    def combined(self, received: Mapping[str, Payload], channel: Channel) -> Payload:
        mean = torch.stack([self.clip.clipped(payload) for payload in received.values()]).mean(dim=0)
        source = noise.stream(self.root, NAME, self._plain.opened(mean), SERVER, channel.round)
        return self.clip.opened(mean + noise.gaussian(mean.shape, self.deviation(len(received)), source))

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, clipped_mean)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        mechanism, relation = plan.gaussian(self.noise_multiplier), plan.relation_of(self.unit)
        return plan.events(env, releases, mechanism, self.unit, relation, "receivers")
