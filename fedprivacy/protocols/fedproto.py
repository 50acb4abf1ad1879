"""Federated prototype learning (Tan et al. 2022, arXiv 2105.00243).

A client trains with ``CE + lambda MSE(features, prototype of the class)``, prototypes constant, and sends the mean
features of the classes it holds, from a clean pass after training; the server averages them by class. Models stay at
home and may differ: where feature sizes differ, a learned local projection maps features to a common size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.config.protocols import FedProtoOptions
from fedprivacy.federation import averaging, phases, projections
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.training import prototypes
from fedprivacy.training.features import feature_size, features_and_logits, features_of
from fedprivacy.training.learner import Epoch, Learner
from fedprivacy.training.losses import cross_entropy
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payloads import Prototypes

PROTOTYPES = "server/prototypes"
"""Part with the global prototypes: ``means`` [c, d] and ``classes`` [c]."""


@dataclass(frozen=True)
class FedProto:
    """The protocol with its options."""

    options: FedProtoOptions
    answers_by: ClassVar[str] = "nearest_prototype"

    def check(self, env: Environment) -> None:
        self.width(env)

    def init(self, env: Environment) -> RoundOutcome:
        averaging.plain_training(env, "fedproto")
        outcome = phases.start(env)
        width = self.width(env)
        parts: dict[str, Part] = {PROTOTYPES: prototypes.to_part(prototypes.none_of(width))}
        for client in range(env.clients):
            own = feature_size(env.workbench.module(env.architecture(client)))
            needed = own != width
            parts |= (
                projections.projection_start(env, client, own, width)
                if needed
                else projections.without_projection(client)
            )
        return RoundOutcome(outcome.state.having(parts), outcome.history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        known = prototypes.of_part(state.parts[PROTOTYPES])
        counts = self.options.weighting == "counts"
        senders = env.senders(round)
        history: list[HistoryRow] = []
        sent: dict[str, Prototypes] = {}
        for client in env.participants(round):
            learner, projection = phases.load(env, state, client), projections.load_projection(env, state, client)
            epochs = self._trained(learner, projection, known, env, client, round)
            history += phases.rows(epochs, round, client, "private")
            state = state.having(phases.store(env, client, learner))
            state = state.having(projections.store_projection(env, client, projection))
            if client in senders:
                records = env.private(client, round)
                features = _mapped(learner, projection, records.x)
                own = prototypes.of_classes(features, phases.as_labels(records), len(env.dataset.classes), counts)
                sent[client_name(client)] = channel.send(client_name(client), SERVER, own)
        if sent:
            mean = channel.combined(sent, lambda: prototypes.merged(list(sent.values())))
            everyone = [client_name(client) for client in range(env.clients)]
            received = channel.send(SERVER, everyone, mean, "global")
            state = state.having({PROTOTYPES: prototypes.to_part(prototypes.renewed(known, received))})
        events = [phases.unprotected(client, round, "prototypes") for client in senders]
        return RoundOutcome(state.having({}, round), history, events)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)

    def answers(self, state: FederationState, env: Environment, x: NDArray[Any]) -> Mapping[str, Tensor]:
        """How the paper predicts: nearness [N, C] to each prototype, by client. None before the first exchange."""
        known = prototypes.of_part(state.parts[PROTOTYPES])
        if not len(known.classes):
            return {}
        means, present = prototypes.table(known, len(env.dataset.classes))
        result = {}
        for client in range(env.clients):
            learner, projection = phases.load(env, state, client), projections.load_projection(env, state, client)
            near = prototypes.nearness(_mapped(learner, projection, x), means, present)
            result[client_name(client)] = near
        return result

    def width(self, env: Environment) -> int:
        """Size of a prototype: that of the features of client 0."""
        return feature_size(env.workbench.module(env.architecture(0)))

    def _trained(
        self,
        learner: Learner,
        projection: Learner | None,
        known: Prototypes,
        env: Environment,
        client: int,
        round: int,
    ) -> list[Epoch]:
        means, present = (t.to(learner.device) for t in prototypes.table(known, len(env.dataset.classes)))
        weight = self.options.prototype_weight if len(known.classes) else 0.0

        def step(x: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            hidden, logits = features_and_logits(learner.module, x)
            loss = cross_entropy(logits, labels)
            if weight:
                mapped = projections.projected(hidden, projection)
                loss = loss + weight * prototypes.pull(mapped, labels, means, present)
            return loss, logits

        learners = [learner] if projection is None or not weight else [learner, projection]
        return averaging.fitted_together(learners, env, client, round, step)


def _mapped(learner: Learner, projection: Learner | None, x: NDArray[Any]) -> Tensor:
    """Features [N, d] at the common size, in inference mode."""
    with torch.inference_mode():
        return projections.projected(features_of(learner.module, x, learner.device), projection).cpu().clone()
