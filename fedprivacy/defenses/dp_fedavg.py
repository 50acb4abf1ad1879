"""Clipped and noised updates: federated averaging that protects whole clients (McMahan et al. 2018, arXiv 1710.06963).

Sensitivity. The update of a client, all tensors as one vector, is clipped to L2 norm S. Added at the client, noise must
hide which of any two updates it is: 2S, under replacement of all of its records, with N(0, (z 2S)^2) on every entry.
Added by a trusted server to the mean of K, a client more or less moves it by S/K, an absent one counting as no change
and K fixed: N(0, (z S/K)^2). Participants are drawn from a named seed, so no amplification by sampling is claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from fedprivacy.config.defenses import Budget, DpFedAvgOptions
from fedprivacy.defenses import noise, plan, updates
from fedprivacy.defenses.acts_on import bounded_change, bounded_mean
from fedprivacy.federation.environment import Environment
from fedprivacy.federation.interfaces import Defense
from fedprivacy.privacy import PrivacyEvent
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Payload, Update, Weights
from fedprivacy.wire.release import Release

NAME = "dp-fedavg"


@dataclass(frozen=True)
class DpFedAvg:
    """Noise at each client. Holds against everybody who sees the wire."""

    root: int
    clip: float
    noise_multiplier: float

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise on every entry."""
        return self.noise_multiplier * 2 * self.clip

    def outgoing_update(self, update: Update, sender: str, round: int) -> Update:
        clipped = updates.clip(update.tensors, self.clip)
        source = noise.stream(self.root, NAME, update, sender, round)
        return Update(updates.like(updates.add_noise(clipped, self.deviation, source), update.tensors))

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        return self.outgoing_update(as_update(payload), sender, round)

    def noise(self, senders: int) -> float:
        return float(self.deviation / senders**0.5)

    def silent(self) -> DpFedAvg:
        return replace(self, noise_multiplier=0.0)

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, bounded_change)
        updates.check_numbers(NAME, env)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        return plan.events(env, releases, plan.gaussian(self.noise_multiplier), "client", "replace-one")


@dataclass(frozen=True)
class DpFedAvgAggregate:
    """Clipping at each client, noise at a trusted server."""

    root: int
    clip: float
    noise_multiplier: float

    def deviation(self, clients: int) -> float:
        """Standard deviation of the noise on every entry of the mean over ``clients``."""
        return self.noise_multiplier * self.clip / clients

    def outgoing_update(self, update: Update, sender: str, round: int) -> Update:
        return Update(updates.like(updates.clip(update.tensors, self.clip), update.tensors))

    def outgoing(self, payload: Payload, sender: str, round: int) -> Payload:
        return self.outgoing_update(as_update(payload), sender, round)

    def combined(self, received: Mapping[str, Payload], channel: Channel) -> Payload:
        sent = [p for p in received.values() if isinstance(p, Weights | Update)]
        first = sent[0]
        floats = [name for name, tensor in first.tensors.items() if tensor.is_floating_point()]
        mean = {name: torch.stack([p.tensors[name].double() for p in sent]).mean(dim=0) for name in floats}
        kind = type(first)
        source = noise.stream(self.root, NAME, kind(mean), SERVER, channel.round)
        noised = updates.add_noise(mean, self.deviation(len(sent)), source)
        return kind({**first.tensors, **updates.like(noised, {name: first.tensors[name] for name in floats})})

    def noise(self, senders: int) -> float:
        return self.deviation(senders)

    def silent(self) -> DpFedAvgAggregate:
        return replace(self, noise_multiplier=0.0)

    def check(self, env: Environment, releases: Sequence[Release]) -> None:
        plan.check_every(NAME, env, releases, bounded_mean)
        updates.check_numbers(NAME, env)

    def events(self, env: Environment, releases: Sequence[Release]) -> Sequence[PrivacyEvent]:
        mechanism = plan.gaussian(self.noise_multiplier)
        return plan.events(env, releases, mechanism, "client", "add-remove", "receivers")


def as_update(payload: Payload) -> Update:
    """The payload, which must be an update. TypeError for anything else: nothing may pass without noise."""
    if not isinstance(payload, Update):
        raise TypeError(f"no noise was planned for {payload.kind}: only for updates")
    return payload


def build(options: DpFedAvgOptions, budget: Budget, env: Environment, releases: Sequence[Release]) -> Defense:
    """The defense with noise for the whole run, at the clients or at the server."""
    at_server = options.placement == "aggregator"
    plan.check_every(NAME, env, releases, bounded_mean if at_server else bounded_change)
    multiplier = plan.multiplier_for(budget, plan.most_sends(env, releases))
    kind = DpFedAvgAggregate if at_server else DpFedAvg
    return kind(env.root, options.clip, multiplier)
