"""Distillation-based semi-supervised federated learning, DS-FL (Itahara et al. 2021, arXiv 2008.06180).

A round: private training; softmax predictions on an unlabelled fold go up; the server averages and sharpens them
(entropy-reduction aggregation) and sends them back; clients and a model of the server's distil towards them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import DsFlOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.course import TOGETHER, Answer, Event, Fit, Heard, Private, rounds_of
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import RoundOutcome, Shared
from fedprivacy.training import consensus
from fedprivacy.training.distillation import soft_label_loss
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions


@dataclass(frozen=True)
class DsFl:
    """The protocol with its options."""

    options: DsFlOptions

    def check(self, env: Environment) -> None:
        if not len(env.division.public[0]):
            raise UsageError("protocol ds-fl: shares predictions on public records; data.public_size must be above 0.")

    def init(self, env: Environment) -> RoundOutcome:
        outcome = phases.start(env)
        server, _ = averaging.initial(env, env.settings.training.model)
        return RoundOutcome(outcome.state.having({averaging.GLOBAL: server}), outcome.history)

    def private_phase(self, state: FederationState, round: int, env: Environment) -> RoundOutcome:
        return phases.private_phase(state, round, env)

    def share(self, state: FederationState, round: int, env: Environment, channel: Channel) -> Shared:
        fold = env.records(env.public_ids(round))
        sent, history = {}, []
        for client in env.senders(round):
            logits = env.workbench.logits(env.architecture(client), state.parts[phases.model_part(client)], fold.x)
            payload = Predictions(probabilities(logits), "probabilities")
            sent[client] = channel.send(client_name(client), SERVER, payload)
            history.append(phases.look(logits, phases.as_labels(fold), round, client))
        return Shared(sent, phases.public_fold(env, round, labelled=False), history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        private = self.private_phase(state, round, env)
        state = private.state
        shared = self.share(state, round, env, channel)
        history = [*private.history, *shared.history]
        if shared.received:
            fold, epochs = env.records(env.public_ids(round)), self.options.distill_epochs
            by_name = {client_name(client): payload for client, payload in shared.received.items()}
            target = channel.combined(by_name, lambda: self._mean(list(by_name.values())))
            sharp = Predictions(self.sharpened(target.values), "probabilities")
            copy = channel.send(SERVER, list(by_name), sharp, "consensus")
            loss = soft_label_loss(consensus.both_classes(copy.values))
            for client in shared.received:
                learner = phases.load(env, state, client)
                passes = phases.fit_public(learner, fold, epochs, env, client, round, loss)
                history += phases.rows(passes, round, client, "public")
                state = state.having(phases.store_public(env, state, client, learner, persistent=False))
            server = env.workbench.learner(env.settings.training.model, state.parts[averaging.GLOBAL])
            passes = phases.fit_public(server, fold, epochs, env, phases.SERVER_ID, round, loss)
            history += phases.rows(passes, round, phases.SERVER_ID, "public")
            state = state.having({averaging.GLOBAL: server.weights()})
        events = [phases.unprotected(client, round, "predictions") for client in shared.received]
        return RoundOutcome(state.having({}, round), history, events, [shared.fold])

    def course(self, heard: Mapping[int, Heard]) -> Iterator[Event]:
        for one in rounds_of(heard):
            yield Private(one.round)
            yield Answer(one.round)
            if TOGETHER in one.predictions:
                loss = soft_label_loss(consensus.both_classes(one.predictions[TOGETHER].values))
                yield Fit(one.fold, loss, self.options.distill_epochs, "public", round=one.round)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        server = (env.settings.training.model, state.parts[averaging.GLOBAL])
        return {**phases.own_models(state, env), "server": server}

    def sharpened(self, mean: Tensor) -> Tensor:
        """What the server makes of the mean probabilities."""
        if self.options.aggregation == "era":
            return consensus.entropy_reduced(mean, self.options.temperature)
        return consensus.enhanced(mean, self.options.sharpness) if self.options.aggregation == "enhanced" else mean

    def _mean(self, sent: Sequence[Predictions]) -> Predictions:
        return Predictions(consensus.mean([payload.values for payload in sent]), "probabilities")


def probabilities(logits: Tensor) -> Tensor:
    """Softmax [N, C], or the sigmoid [N, 1] of one output."""
    return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)
