"""One model on everybody's records, round by round: the bound that federation is measured against, without privacy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import CentralOptions
from fedprivacy.federation import phases
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.training.learner import Records
from fedprivacy.wire.channel import Channel


@dataclass(frozen=True)
class Central:
    """The protocol with its options. The model is kept as client 0's; nothing is sent."""

    options: CentralOptions

    def check(self, env: Environment) -> None:
        if self.options.public_labels and not len(env.division.public[0]):
            raise UsageError("protocol central: public_labels needs data.public_size above 0.")

    def init(self, env: Environment) -> RoundOutcome:
        return phases.start(env, [0])

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        own = env.private(0, round)
        pooled = reduce(Records.joined, (env.private(client, round) for client in range(1, env.clients)), own)
        if self.options.public_labels:
            pooled = pooled.joined(env.records(env.public_ids(round)))
        epochs = env.settings.training.local_epochs
        steps = env.settings.training.local_steps
        if steps is None and self.options.match != "epochs":
            steps = self._steps(env, round)
        learner = phases.load(env, state, 0)
        name = ("central", "round", round)
        passes = phases.fitted(learner, pooled, epochs, env, name, "central training", 0, round, steps=steps)
        state = state.having(phases.store(env, 0, learner), round)
        folds = [phases.public_fold(env, round, True, to_clients=False)] if self.options.public_labels else []
        return RoundOutcome(state, phases.rows(passes, round, 0, "private"), [], folds)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {"central": (env.architecture(0), state.parts[phases.model_part(0)])}

    def _steps(self, env: Environment, round: int) -> int:
        """Steps that client 0 would take in the round."""
        size = env.settings.training.batch_size
        folds = [len(env.private(0, round))]
        if self.options.public_labels:
            folds.append(len(env.public_ids(round)))
        return env.settings.training.local_epochs * sum(-(-number // size) for number in folds)
