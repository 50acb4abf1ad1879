"""No exchange: every client alone, on the same folds. With ``public_labels``, on the labelled public folds too.

The second form is the control that mutual learning needs: what is distillation, and what is plain supervision?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import LocalOptions
from fedprivacy.federation import phases
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.wire.channel import Channel


@dataclass(frozen=True)
class Local:
    """The protocol with its options."""

    options: LocalOptions

    def check(self, env: Environment) -> None:
        if self.options.public_labels and not len(env.division.public[0]):
            raise UsageError("protocol local: public_labels needs data.public_size above 0.")
        if self.options.public_labels and env.settings.training.heads == "own":
            raise UsageError("protocol local: public_labels holds classes that own heads lack; use --heads common.")

    def init(self, env: Environment) -> RoundOutcome:
        return phases.start(env)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        outcome = phases.private_phase(state, round, env)
        state, history, folds = outcome.state, list(outcome.history), []
        if self.options.public_labels:
            public = phases.public_label_phase(state, round, env, self.options.public_epochs)
            state, folds = public.state, [phases.public_fold(env, round, True)]
            history += public.history
        return RoundOutcome(state.having({}, round), history, [], folds)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)
