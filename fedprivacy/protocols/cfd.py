"""Compressed federated distillation, CFD (Sattler et al. 2021, arXiv 2012.00632).

The public records are the same in every round, those of the first fold. A round: clients start from common random
weights, distil onto the server's labels, train on their own records, predict, quantise, code and upload; the server
averages what it decodes, distils its model from where it was, predicts, quantises, codes and sends. With one bit, only
what changed since the last round is coded. The server's model is the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import CfdOptions
from fedprivacy.data.records import Ids
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.course import TOGETHER, Answer, Event, Fit, Heard, Private, Restart, rounds_of
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome, Shared
from fedprivacy.training import consensus
from fedprivacy.training.distillation import soft_label_loss
from fedprivacy.training.label_coding import coded, decoded
from fedprivacy.training.learner import Records
from fedprivacy.training.losses import log_probabilities
from fedprivacy.training.quantisation import dequantised, quantised
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions
from fedprivacy.wire.transcript import PublicFold

LABELS = "server/labels"
"""Part with the server's labels as its receivers decoded them, for the next round."""


def sent_part(party: str) -> str:
    """Name of the part with the labels that a party sent last, as whole levels; empty before."""
    return f"{party}/sent"


@dataclass(frozen=True)
class Cfd:
    """The protocol with its options."""

    options: CfdOptions

    def check(self, env: Environment) -> None:
        if not len(env.division.public[0]):
            raise UsageError("protocol cfd: shares predictions on public records; data.public_size must be above 0.")

    def init(self, env: Environment) -> RoundOutcome:
        outcome = phases.start(env)
        server, _ = averaging.initial(env, env.settings.training.model)
        parts: dict[str, Part] = {averaging.GLOBAL: server, LABELS: {}, sent_part(SERVER): {}}
        for client in range(env.clients):
            parts[sent_part(client_name(client))] = {}
            parts[f"{client_name(client)}/start"] = outcome.state.parts[phases.model_part(client)]
        return RoundOutcome(outcome.state.having(parts), outcome.history)

    def private_phase(self, state: FederationState, round: int, env: Environment) -> RoundOutcome:
        """Dual distillation, then private training."""
        labels = state.parts[LABELS]
        history: list[HistoryRow] = []
        if self.options.start == "seed":
            fresh: dict[str, Part] = {}
            for client in env.participants(round):
                fresh[phases.model_part(client)] = state.parts[f"{client_name(client)}/start"]
                fresh[phases.moments_part(client)] = {}
            state = state.having(fresh)
        if labels and self.options.dual_epochs:
            records, loss = env.records(self._ids(env, round - 1)), soft_label_loss(labels["probabilities"])
            for client in env.participants(round):
                learner = phases.load(env, state, client)
                passes = phases.fit_public(learner, records, self.options.dual_epochs, env, client, round, loss)
                history += phases.rows(passes, round, client, "public")
                state = state.having(phases.store_public(env, state, client, learner, persistent=False))
        private = phases.private_phase(state, round, env)
        return RoundOutcome(private.state, [*history, *private.history])

    def share(self, state: FederationState, round: int, env: Environment, channel: Channel) -> Shared:
        ids = self._ids(env, round)
        fold = env.records(ids)
        sent, history = {}, []
        for client in env.senders(round):
            logits = env.workbench.logits(env.architecture(client), state.parts[phases.model_part(client)], fold.x)
            history.append(phases.look(logits, phases.as_labels(fold), round, client))
            previous = _levels(state.parts[sent_part(client_name(client))])
            sent[client] = self._sent(
                channel, env, round, client_name(client), SERVER, logits, self.options.bits_up, previous
            )
        return Shared(sent, self._fold(env, round, ids), history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        private = self.private_phase(state, round, env)
        state = private.state
        shared = self.share(state, round, env, channel)
        history = [*private.history, *shared.history]
        if shared.received:
            for client, payload in shared.received.items():
                state = state.having({sent_part(client_name(client)): _remembered(payload, self.options.bits_up)})
            by_name = {client_name(client): payload for client, payload in shared.received.items()}
            mean = channel.combined(by_name, lambda: _mean(list(by_name.values())))
            records = env.records(self._ids(env, round))
            state, rows = self._server_distils(state, round, env, records, mean.values)
            history += rows
            if round < env.rounds:
                state = self._labelled(state, round, env, channel, records)
        events = [phases.unprotected(client, round, "predictions") for client in shared.received]
        return RoundOutcome(state.having({}, round), history, events, [shared.fold])

    def course(self, heard: Mapping[int, Heard]) -> Iterator[Event]:
        """The server's labels of a round are learned from in the next, by whoever takes part in that."""
        for one in rounds_of(heard):
            if self.options.start == "seed":
                yield Restart()
            before = heard.get(one.round - 1)
            if before is not None and TOGETHER in before.predictions and self.options.dual_epochs:
                loss = soft_label_loss(before.predictions[TOGETHER].values)
                yield Fit(before.fold, loss, self.options.dual_epochs, "public", round=one.round)
            yield Private(one.round)
            yield Answer(one.round)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {"server": (env.settings.training.model, state.parts[averaging.GLOBAL])}

    def _ids(self, env: Environment, round: int) -> Ids:
        """The fixed records, unless somebody planted others in that round."""
        return env.planted.get(round, env.division.public[0])

    def _fold(self, env: Environment, round: int, ids: Ids) -> PublicFold:
        """Delivered in round 1 to everybody, and again only where the records differ from the round before."""
        held = round > 1 and np.array_equal(ids, self._ids(env, round - 1))
        size = int(env.dataset.x_train[ids].nbytes)
        return PublicFold(round, ids, False, size, 0 if held else env.clients)

    def _delta(self, classes: int) -> bool:
        return classes > 4 if self.options.delta == "auto" else self.options.delta == "on"

    def _sent(
        self,
        channel: Channel,
        env: Environment,
        round: int,
        sender: str,
        receivers: str | Sequence[str],
        logits: Tensor,
        bits: int,
        previous: np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None,
    ) -> Predictions:
        """Send quantised and coded predictions; what the receivers decode, as probabilities [N, C]."""
        probabilities = log_probabilities(logits.double()).exp()
        if bits == 32:
            return channel.send(sender, receivers, Predictions(probabilities.float(), "probabilities"))
        draw = seeds.numpy_generator(env.root, sender, "round", round, "ties")
        levels = quantised(probabilities.numpy(), bits, draw)
        reference = previous if self._delta(levels.shape[1]) else None
        payload = channel.send(sender, receivers, coded(levels, bits, reference))
        arrived = dequantised(decoded(payload, reference), bits)
        return Predictions(torch.from_numpy(arrived), "probabilities")

    def _server_distils(
        self, state: FederationState, round: int, env: Environment, records: Records, labels: Tensor
    ) -> tuple[FederationState, list[HistoryRow]]:
        server = env.workbench.learner(env.settings.training.model, state.parts[averaging.GLOBAL])
        loss, epochs = soft_label_loss(labels), self.options.distill_epochs
        passes = phases.fit_public(server, records, epochs, env, phases.SERVER_ID, round, loss)
        return state.having({averaging.GLOBAL: server.weights()}), phases.rows(
            passes, round, phases.SERVER_ID, "public"
        )

    def _labelled(
        self, state: FederationState, round: int, env: Environment, channel: Channel, records: Records
    ) -> FederationState:
        """The server's labels go to the participants of the next round.

        Changes alone make sense only to those who have the labels of the round before: under full participation.
        """
        logits = env.workbench.logits(env.settings.training.model, state.parts[averaging.GLOBAL], records.x)
        names = [client_name(client) for client in env.participants(round + 1)]
        previous = _levels(state.parts[sent_part(SERVER)]) if env.settings.participation == 1 else None
        bits = self.options.bits_down
        received = self._sent(channel, env, round, SERVER, names, logits, bits, previous)
        parts = {LABELS: {"probabilities": received.values}, sent_part(SERVER): _remembered(received, bits)}
        return state.having(parts)


def _mean(sent: Sequence[Predictions]) -> Predictions:
    return Predictions(consensus.mean([payload.values for payload in sent]), "probabilities")


def _remembered(sent: Predictions, bits: int) -> Part:
    """Labels as whole levels, the reference of the next changes; nothing where none can be coded."""
    return {"levels": sent.values.round().to(torch.uint8)} if bits == 1 else {}


def _levels(part: Part) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]] | None:
    return part["levels"].numpy().astype(np.int64) if part else None
