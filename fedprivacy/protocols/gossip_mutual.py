"""Mutual learning over the edges of a topology: no server, no public records, any architectures.

A round: every node trains on its private fold and sends its model to its neighbours; then it trains on that fold again,
on the labels and towards the predictions of the models that it heard, ``CE + w/n sum_j T^2 KL(peer_j || own)`` (deep
mutual learning, Zhang et al. 2018, arXiv 1706.00384, section 2). No weights are merged. That is the setting of DFML
(Khalil et al. 2024, arXiv 2402.01863); there the models that a node received are trained as well and sent back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedprivacy.config.protocols import GossipMutualOptions
from fedprivacy.federation import averaging, gossip, phases
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import RoundOutcome, releases_of
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training.distillation import taught_loss
from fedprivacy.wire.channel import Channel


@dataclass(frozen=True)
class GossipMutual:
    """The protocol with its options."""

    options: GossipMutualOptions

    def check(self, env: Environment) -> None:
        _ = env.settings.graph

    def init(self, env: Environment) -> RoundOutcome:
        averaging.plain_training(env, "gossip-mutual")
        return phases.start(env)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        trained = phases.private_phase(state, round, env)
        own = {client: trained.state.parts[phases.model_part(client)] for client in env.participants(round)}
        state, history = trained.state, list(trained.history)
        for client, peers in gossip.exchanged(channel, env, round, own).items():
            if not peers or not self.options.weight:
                continue
            records, share = env.private(client, round), self.options.weight / len(peers)
            told = [(share, env.workbench.logits(env.architecture(p), m, records.x)) for p, m in peers.items()]
            loss, name = taught_loss(told, self.options.temperature), ("client", client, "round", round, "mutual")
            learner = phases.load(env, state, client)
            passes = phases.fitted(
                learner, records, self.options.mutual_epochs, env, name, "mutual phase", client, round, loss
            )
            history += phases.rows(passes, round, client, "mutual")
            state = state.having(phases.store(env, client, learner))
        senders = [client for client in env.senders(round) if env.settings.graph.neighbours(client)]
        events = [phases.unprotected(c, round, release.name) for c in senders for release in releases_of(self, env)]
        return RoundOutcome(state.having({}, round), history, events)

    def held(self, client: int) -> str:
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        return averaging.local_weights(phases.private_phase(state, round, env, clients=[client]), client)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)
