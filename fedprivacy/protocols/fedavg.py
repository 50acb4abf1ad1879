"""Federated averaging (McMahan et al. 2017, Algorithm 1).

A round: every participant takes the global weights, trains on its private fold, and uploads its weights (and n_k
under weighting by records); the server averages and broadcasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import FedAvgOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.interfaces import Environment, FederationState, Part, RoundOutcome, releases_of
from fedprivacy.wire.channel import Channel


@dataclass(frozen=True)
class FedAvg:
    """The protocol with its options."""

    options: FedAvgOptions

    def check(self, env: Environment) -> None:
        averaging.one_architecture(env, "fedavg")
        if self.options.public_labels and not len(env.division.public[0]):
            raise UsageError("protocol fedavg: public_labels needs data.public_size above 0.")

    def init(self, env: Environment) -> RoundOutcome:
        return averaging.common_start(env)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        trained = phases.private_phase(state, round, env)
        if self.options.public_labels:
            public = phases.public_label_phase(trained.state, round, env, self.options.public_epochs)
            history, folds = [*trained.history, *public.history], [phases.public_fold(env, round, True)]
            trained = RoundOutcome(public.state, history, folds=folds)
        by_records = self.options.weighting == "records"
        return averaging.averaging_round(state, round, env, channel, trained, by_records, releases_of(self, env))

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {"global": (env.architecture(0), state.parts[averaging.GLOBAL])}
