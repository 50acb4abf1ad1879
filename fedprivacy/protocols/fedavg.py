"""Federated averaging (McMahan et al. 2017, Algorithm 1).

A round: every participant takes the global weights, trains on its private fold, and uploads its weights (and n_k
under weighting by records); the server averages and broadcasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import FedAvgOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.environment import Environment, FederationState
from fedprivacy.federation.interfaces import RoundOutcome


@dataclass(frozen=True)
class FedAvg(averaging.Averaging):
    """The protocol with its options."""

    options: FedAvgOptions

    def check(self, env: Environment) -> None:
        averaging.one_architecture(env, "fedavg")
        if self.options.public_labels and not len(env.division.public[0]):
            raise UsageError("protocol fedavg: public_labels needs data.public_size above 0.")

    def init(self, env: Environment) -> RoundOutcome:
        return averaging.common_start(env)

    def trained(self, state: FederationState, round: int, env: Environment, clients: Sequence[int]) -> RoundOutcome:
        """The private phase of ``clients``, and the labelled public one where there is any."""
        trained = phases.private_phase(state, round, env, clients=clients)
        if not self.options.public_labels:
            return trained
        public = phases.public_label_phase(trained.state, round, env, self.options.public_epochs, clients=clients)
        history, folds = [*trained.history, *public.history], [phases.public_fold(env, round, True)]
        return RoundOutcome(public.state, history, folds=folds)
