"""Federated averaging with a proximal term (Li et al. 2020, arXiv 1812.06127).

Each client minimises ``F_k(w) + mu/2 ||w - w_t||^2``. Stragglers run fewer passes, and what they have counts all the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import FedProxOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.training.proximal import proximal_loss


@dataclass(frozen=True)
class FedProx(averaging.Averaging):
    """The protocol with its options."""

    options: FedProxOptions

    def check(self, env: Environment) -> None:
        averaging.one_architecture(env, "fedprox")
        if self.options.stragglers and env.settings.training.local_steps is not None:
            raise UsageError("protocol fedprox: stragglers leave out epochs; with local_steps set stragglers to 0.")

    def init(self, env: Environment) -> RoundOutcome:
        averaging.plain_training(env, "fedprox")
        return averaging.common_start(env)

    def trained(self, state: FederationState, round: int, env: Environment, clients: Sequence[int]) -> RoundOutcome:
        parts: dict[str, Part] = {}
        history: list[HistoryRow] = []
        for client in clients:
            learner = phases.load(env, state, client)
            loss, epochs = proximal_loss(learner, self.options.mu), self._epochs(env, client, round)
            name = ("client", client, "round", round, "private")
            records = env.private(client, round)
            steps = env.settings.training.local_steps
            passes = phases.fitted(
                learner, records, epochs, env, name, "private phase", client, round, loss, steps=steps
            )
            history += phases.rows(passes, round, client, "private")
            parts |= phases.store(env, client, learner)
        return RoundOutcome(state.having(parts), history)

    def _epochs(self, env: Environment, client: int, round: int) -> int:
        """All local epochs, or for a straggler uniformly one to all."""
        most = env.settings.training.local_epochs
        draw = seeds.numpy_generator(env.root, "straggler", round, client)
        return int(draw.integers(1, most + 1)) if draw.random() < self.options.stragglers else most
