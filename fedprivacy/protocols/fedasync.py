"""Asynchronous federated optimisation (Xie et al., arXiv 1903.03934).

A client trains from the global model of version s with ``rho/2 ||x - x_s||^2`` and pushes its weights; the server
mixes them in at once, ``x = (1 - a_t) x + a_t x_new`` with ``a_t = alpha s(t - s)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedprivacy.config.protocols import FedAsyncOptions
from fedprivacy.federation import asynchrony, averaging, phases
from fedprivacy.federation.environment import Environment, FederationState, Part, Work
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.training.learner import Learner, Loss
from fedprivacy.training.proximal import proximal_loss
from fedprivacy.training.staleness import hinge, polynomial
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Weights


@dataclass(frozen=True)
class FedAsync:
    """The protocol with its options."""

    options: FedAsyncOptions

    def check(self, env: Environment) -> None:
        asynchrony.check(env, "fedasync")

    def init(self, env: Environment) -> RoundOutcome:
        averaging.plain_training(env, "fedasync")
        return asynchrony.started(env, self.options)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        def deliver(parts: Mapping[str, Part], arrival: asynchrony.Arrival) -> tuple[Mapping[str, Part], int]:
            purpose = f"push at {arrival.time:.6g}, {arrival.late} late"
            sent = channel.send(client_name(arrival.client), SERVER, Weights(arrival.end), purpose)
            limit = self.options.max_staleness
            if limit is not None and arrival.late > limit:
                return {}, 0
            share = self.options.alpha * self.weight(arrival.late)
            return {averaging.GLOBAL: weighted_mean([parts[averaging.GLOBAL], sent.tensors], [1 - share, share])}, 1

        return asynchrony.asynchronous_round(
            state,
            round,
            env,
            channel,
            self.options,
            self._loss_for,
            deliver,
            "weights",
        )

    def held(self, client: int) -> str:
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        parts, rows = asynchrony.job_done(state, round, env, client, round, self._loss_for)
        return LocalWork(parts, rows, Weights(parts[phases.model_part(client)]))

    def work(self, env: Environment) -> Sequence[Work]:
        """The jobs that the clock gives the clients."""
        return asynchrony.planned(env, self.options)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {"global": (env.architecture(0), state.parts[averaging.GLOBAL])}

    def _loss_for(self, client: int, learner: Learner) -> Loss:
        return proximal_loss(learner, self.options.rho)

    def weight(self, late: int) -> float:
        """``s(d)`` of the options."""
        if self.options.staleness == "constant":
            return 1.0
        if self.options.staleness == "hinge":
            return hinge(late, self.options.hinge_slope, self.options.hinge_from)
        return polynomial(late, self.options.exponent)
