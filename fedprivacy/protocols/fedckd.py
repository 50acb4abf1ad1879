"""Distillation from two teachers of one's own past (arXiv 2411.03569), on the transport of federated averaging.

A client starts from the global model and trains with
``CE + a_h T^2 KL(own last model || s) + a_g T^2 KL(global || s)``: its own model of its last round keeps what is
personal, the global model of this round's start what is common. Weights, temperature and order are choices where the
paper could not be read. The client's trained model is its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedprivacy.config.protocols import FedCkdOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training.distillation import taught_loss
from fedprivacy.wire.parties import client_name


def own_part(client: int) -> str:
    """Name of the part with a client's model as it was after its last training; empty before."""
    return f"{client_name(client)}/own"


@dataclass(frozen=True)
class FedCkd(averaging.Averaging):
    """The protocol with its options."""

    options: FedCkdOptions

    def check(self, env: Environment) -> None:
        averaging.one_architecture(env, "fedckd")

    def init(self, env: Environment) -> RoundOutcome:
        outcome = averaging.common_start(env)
        nothing: dict[str, Part] = {own_part(client): {} for client in range(env.clients)}
        return RoundOutcome(outcome.state.having(nothing), outcome.history)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        trained = self.trained(state, round, env, [client])
        work = averaging.local_weights(trained, client)
        return replace(work, parts={**work.parts, own_part(client): trained.state.parts[own_part(client)]})

    def trained(self, state: FederationState, round: int, env: Environment, clients: Sequence[int]) -> RoundOutcome:
        parts: dict[str, Part] = {}
        history: list[HistoryRow] = []
        for client in clients:
            x, name = env.private(client, round).x, env.architecture(client)
            own, common = state.parts[own_part(client)], state.parts[phases.model_part(client)]
            teachers = [(self.options.global_weight, env.workbench.logits(name, common, x))]
            if own:
                teachers.append((self.options.history_weight, env.workbench.logits(name, own, x)))
            loss = taught_loss(teachers, self.options.temperature)
            learner = phases.load(env, state, client)
            history += phases.rows(phases.fit_private(learner, env, client, round, loss), round, client, "private")
            parts |= phases.store(env, client, learner)
            parts[own_part(client)] = parts[phases.model_part(client)]
        return RoundOutcome(state.having(parts), history)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        """Each client's own model; the global one for a client that never took part."""
        return {
            client_name(c): (env.architecture(c), state.parts[own_part(c)] or state.parts[averaging.GLOBAL])
            for c in range(env.clients)
        }
