"""Decentralised federated averaging (Sun, Li, Wang 2021, arXiv 2104.11375, algorithm 1, without momentum).

No server. A round: every node trains its model on its private fold, sends it to its neighbours, and mixes what it hears
with its own, ``x_i = sum_j w_ij z_j`` with a doubly stochastic matrix of the topology. A node that drops out
neither sends nor mixes, so the matrix stays doubly stochastic. With one local step this is
D-PSGD (Lian et al. 2017, arXiv 1705.09056) up to the order of step and mix; where everybody hears everybody it is
federated averaging with equal weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocols import DFedAvgOptions
from fedprivacy.federation import averaging, gossip, phases
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import RoundOutcome, releases_of
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.wire.channel import Channel


@dataclass(frozen=True)
class DFedAvg:
    """The protocol with its options."""

    options: DFedAvgOptions

    def check(self, env: Environment) -> None:
        averaging.one_architecture(env, "dfedavg")

    def init(self, env: Environment) -> RoundOutcome:
        return phases.start(env)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        trained = phases.private_phase(state, round, env)
        own = {client: trained.state.parts[phases.model_part(client)] for client in env.participants(round)}
        heard = gossip.exchanged(channel, env, round, own)
        mixed = {
            phases.model_part(client): self.mixed(env.settings, client, own[client], heard[client]) for client in own
        }
        senders = [client for client in env.senders(round) if env.settings.graph.neighbours(client)]
        events = [phases.unprotected(c, round, release.name) for c in senders for release in releases_of(self, env)]
        return RoundOutcome(trained.state.having(mixed, round), trained.history, events)

    def held(self, client: int) -> str:
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        return averaging.local_weights(phases.private_phase(state, round, env, clients=[client]), client)

    def mixed(self, settings: FederationSettings, client: int, own: Part, heard: Mapping[int, Part]) -> Part:
        """What a silent neighbour would have counted falls to the node's own model."""
        if self.options.mixing == "uniform":
            return weighted_mean([own, *heard.values()])
        weights = settings.graph.weights(client)
        shares = [weights[peer] for peer in heard]
        return weighted_mean([own, *heard.values()], [1 - sum(shares), *shares])

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)
