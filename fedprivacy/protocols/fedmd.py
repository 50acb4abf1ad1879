"""Heterogeneous federated learning by model distillation, FedMD (Li and Wang 2019, arXiv 1910.03581).

First everybody trains on the labelled public records (transfer), then on its own. A round: logits on the round's
public records go up; the server takes their mean; each client fits its logits to it (digest) and trains on its private
records again (revisit). Here a round begins with the private training and ends with the digest: the same chain of
steps, cut elsewhere, and after the last round a last revisit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import FedMdOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.course import TOGETHER, Answer, Event, Fit, Heard, Private, rounds_of
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part, Work
from fedprivacy.federation.interfaces import RoundOutcome, Shared, releases_of
from fedprivacy.training import consensus
from fedprivacy.training.distillation import digest_loss
from fedprivacy.training.learner import label_loss
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions, Scalars
from fedprivacy.wire.transcript import PublicFold


@dataclass(frozen=True)
class FedMd:
    """The protocol with its options."""

    options: FedMdOptions

    def check(self, env: Environment) -> None:
        if not len(env.division.public[0]):
            raise UsageError("protocol fedmd: shares predictions on public records; data.public_size must be above 0.")
        if self._by_validation and not all(len(env.validation(c, 1)) for c in range(env.clients)):
            raise UsageError(
                "protocol fedmd: consensus_weights = 'validation' needs validation records; raise data.validation."
            )

    def init(self, env: Environment) -> RoundOutcome:
        """The start, and the transfer: every client fits all public records with their labels."""
        outcome = phases.start(env)
        if not self.options.transfer_epochs:
            return outcome
        ids = np.unique(np.concatenate(env.division.public))
        everything, state = env.records(ids), outcome.state
        history: list[HistoryRow] = list(outcome.history)
        for client in range(env.clients):
            learner = phases.load(env, state, client)
            name, epochs = ("client", client, "transfer"), self.options.transfer_epochs
            passes = phases.fitted(learner, everything, epochs, env, name, "transfer", client, 0)
            history += phases.rows(passes, 0, client, "transfer")
            state = state.having(phases.store(env, client, learner))
        size = int(everything.x.nbytes) + len(everything)
        return RoundOutcome(state, history, folds=[PublicFold(0, ids, True, size, env.clients)])

    def work(self, env: Environment) -> Sequence[Work]:
        """One training a round, and the last revisit, after which nothing is sent."""
        last = env.rounds + 1
        revisits = [Work(c, last, sends=False) for c in env.participants(last)] if self.options.last_revisit else []
        return [*(Work(c, t) for t in range(1, last) for c in env.participants(t)), *revisits]

    def private_phase(self, state: FederationState, round: int, env: Environment) -> RoundOutcome:
        return phases.private_phase(state, round, env)

    def share(self, state: FederationState, round: int, env: Environment, channel: Channel) -> Shared:
        fold = env.records(env.public_ids(round))
        sent, history = {}, []
        for client in env.senders(round):
            logits = env.workbench.logits(env.architecture(client), state.parts[phases.model_part(client)], fold.x)
            sent[client] = channel.send(client_name(client), SERVER, Predictions(logits, "logits"))
            history.append(phases.look(logits, phases.as_labels(fold), round, client))
        return Shared(sent, self._fold(env, round), history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        private = self.private_phase(state, round, env)
        state = private.state
        shared = self.share(state, round, env, channel)
        history = [*private.history, *shared.history]
        if shared.received:
            by_name = {client_name(client): payload for client, payload in shared.received.items()}
            weights = self._weights(state, round, env, channel, list(shared.received))
            mean = channel.combined(
                by_name,
                lambda: Predictions(consensus.mean([p.values for p in by_name.values()], weights), "logits"),
            )
            copy = channel.send(SERVER, list(by_name), mean, "consensus")
            state, rows = self._digested(state, round, env, copy, list(shared.received))
            history += rows
        if round == env.rounds and self.options.last_revisit:
            last = self.private_phase(state, round + 1, env)
            state, history = last.state, [*history, *last.history]
        events = [
            phases.unprotected(client, round, release.name)
            for client in shared.received
            for release in releases_of(self, env)
        ]
        return RoundOutcome(state.having({}, round), history, events, [shared.fold])

    def course(self, heard: Mapping[int, Heard]) -> Iterator[Event]:
        options = self.options
        if 0 in heard:
            everything = heard[0].fold
            yield Fit(everything, label_loss, options.transfer_epochs, "transfer", None, True, False, own_moments=True)
        for one in rounds_of(heard):
            yield Private(one.round)
            yield Answer(one.round)
            if TOGETHER in one.predictions:
                loss = digest_loss(one.predictions[TOGETHER].values, options.digest, options.temperature)
                yield Fit(
                    one.fold, loss, options.digest_epochs, "digest", options.digest_batch, True, False, round=one.round
                )

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)

    @property
    def _by_validation(self) -> bool:
        return self.options.consensus_weights == "validation"

    def _fold(self, env: Environment, round: int) -> PublicFold:
        """The round's records. After the transfer clients hold them already, unless somebody planted others."""
        fold = phases.public_fold(env, round, labelled=False)
        held = self.options.transfer_epochs and round not in env.planted
        return PublicFold(fold.round, fold.records, False, fold.bytes, 0) if held else fold

    def _weights(
        self, state: FederationState, round: int, env: Environment, channel: Channel, clients: Sequence[int]
    ) -> list[float] | None:
        """Validation accuracies as the server receives them; None for a uniform mean, also where all are 0."""
        if not self._by_validation:
            return None
        received = []
        for client in clients:
            weights = state.parts[phases.model_part(client)]
            value = averaging.accuracy_on(env, env.architecture(client), weights, env.validation(client, round))
            payload = Scalars({"accuracy": torch.tensor(value, dtype=torch.float32)})
            received.append(float(channel.send(client_name(client), SERVER, payload, "accuracy").tensors["accuracy"]))
        return received if sum(received) > 0 else None

    def _digested(
        self, state: FederationState, round: int, env: Environment, target: Predictions, clients: Sequence[int]
    ) -> tuple[FederationState, list[HistoryRow]]:
        fold, options = env.records(env.public_ids(round)), self.options
        loss = digest_loss(target.values, options.digest, options.temperature)
        history: list[HistoryRow] = []
        for client in clients:
            learner = phases.load(env, state, client)
            learner.renew_optimizer()
            name = ("client", client, "round", round, "digest")
            passes = phases.fitted(
                learner,
                fold,
                options.digest_epochs,
                env,
                name,
                "digest",
                client,
                round,
                loss,
                batch_size=options.digest_batch,
            )
            history += phases.rows(passes, round, client, "digest")
            state = state.having(phases.store_public(env, state, client, learner, persistent=False))
        return state, history
