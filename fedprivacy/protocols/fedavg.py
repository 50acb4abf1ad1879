"""Federated averaging (McMahan et al. 2017, Algorithm 1).

A round: every participant takes the global weights, trains on its private fold, and uploads its weights (and n_k
under weighting by records); the server averages and broadcasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fedprivacy import phases
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import FedAvgOptions
from fedprivacy.interfaces import Environment, FederationState, Part, Release, RoundOutcome
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.wire import SERVER, Channel, Scalars, Weights, client_name

GLOBAL = "server/model"


@dataclass(frozen=True)
class FedAvg:
    """The protocol with its options."""

    options: FedAvgOptions

    def check(self, env: Environment) -> None:
        if len(set(map(env.architecture, range(env.clients)))) > 1:
            raise UsageError("protocol fedavg: averaging needs one architecture for all clients.")
        if self.options.public_labels and not len(env.division.public[0]):
            raise UsageError("protocol fedavg: public_labels needs data.public_size above 0.")

    def init(self, env: Environment) -> RoundOutcome:
        outcome = phases.start(env)
        first = outcome.state.parts[phases.model_part(0)]
        parts = {phases.model_part(client): first for client in range(env.clients)}
        return RoundOutcome(outcome.state.having({**parts, GLOBAL: first}), outcome.history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        clients = env.participants(round)
        trained = phases.private_phase(state, round, env)
        state, history, folds = trained.state, list(trained.history), []
        if self.options.public_labels:
            public = phases.public_label_phase(state, round, env, self.options.public_epochs)
            state, folds = public.state, [phases.public_fold(env, round, True)]
            history += public.history
        sent, counts = {}, []
        for client in clients:
            weights = Weights(state.parts[phases.model_part(client)])
            sent[client_name(client)] = channel.send(client_name(client), SERVER, weights)
            if self.options.weighting == "records":
                number = {"records": torch.tensor(len(env.private(client, round)), dtype=torch.int32)}
                counts.append(channel.send(client_name(client), SERVER, Scalars(number), "n_k").tensors["records"])
        shares = [float(n) for n in counts] or None
        mean = channel.combined(sent, lambda: Weights(weighted_mean([w.tensors for w in sent.values()], shares)))
        everyone = [client_name(client) for client in range(env.clients)]
        received = channel.send(SERVER, everyone, mean, "global").tensors
        parts: dict[str, Part] = {phases.model_part(client): received for client in range(env.clients)}
        events = [
            phases.unprotected(client, round, release.name) for client in clients for release in self.releases(env)
        ]
        return RoundOutcome(state.having({**parts, GLOBAL: received}, round), history, events, folds)

    def releases(self, env: Environment) -> Sequence[Release]:
        by_records = self.options.weighting == "records"
        weights = Release("weights", "weights", merged="weighted" if by_records else "mean", known_start=True)
        return [weights, Release("n_k", "scalars")] if by_records else [weights]

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {"global": (env.architecture(0), state.parts[GLOBAL])}
