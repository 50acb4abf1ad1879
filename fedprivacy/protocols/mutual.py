"""Distributed mutual learning on shared predictions (Gupta 2025, arXiv 2503.05803).

A round: each client trains on its private fold; all predict on the same public fold and send; then each trains on the
fold with ``CE(y, own) + w / (K - 1) * sum_j KL(own || peer_j)``, the peers' predictions fixed. There is no global
model. A relay passes each client's predictions to the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import MutualOptions
from fedprivacy.federation import phases
from fedprivacy.federation.course import Answer, Event, Fit, Heard, Private, Renewal, TakeOver, Upload, rounds_of
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome, Shared
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.training.learner import Loss, of_logits
from fedprivacy.training.losses import (
    CLIP,
    cross_entropy,
    kl_divergence,
    literal_kl,
    log_probabilities,
    predicted_class,
)
from fedprivacy.training.taught import Taught
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions, Weights


@dataclass(frozen=True)
class Mutual:
    """The protocol with its options."""

    options: MutualOptions

    def check(self, env: Environment) -> None:
        classes = len(env.dataset.classes)
        if self.options.kl in ("literal", "bernoulli") and classes != 2:
            raise UsageError(
                f"protocol mutual: kl = '{self.options.kl}' is for two classes, {env.dataset.name} has {classes}; "
                "use kl = 'categorical' or 'auto'."
            )
        if self.options.average_weights and len(set(map(env.architecture, range(env.clients)))) > 1:
            raise UsageError("protocol mutual: average_weights needs one architecture for all clients.")
        if not len(env.division.public[0]):
            raise UsageError("protocol mutual: shares predictions on public records; data.public_size must be above 0.")

    def init(self, env: Environment) -> RoundOutcome:
        return phases.start(env)

    def private_phase(self, state: FederationState, round: int, env: Environment) -> RoundOutcome:
        return phases.private_phase(state, round, env)

    def share(self, state: FederationState, round: int, env: Environment, channel: Channel) -> Shared:
        fold = env.records(env.public_ids(round))
        labels = phases.as_labels(fold)
        sent, history = {}, []
        for client in env.senders(round):
            logits = env.workbench.logits(env.architecture(client), state.parts[phases.model_part(client)], fold.x)
            payload = Predictions(released(logits, labels, self.options.payload), self.options.payload)
            sent[client] = channel.send(client_name(client), SERVER, payload)
            history.append(phases.look(logits, labels, round, client))
        return Shared(sent, phases.public_fold(env, round, self.options.public_labels), history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        private = self.private_phase(state, round, env)
        shared = self.share(private.state, round, env, channel)
        state, public = self._public_phase(private.state, round, env, channel, shared.received)
        releases = ["predictions"]
        if self.options.average_weights:
            state = _averaged(state, round, env, channel)
            releases.append("weights")
        events = [phases.unprotected(client, round, what) for what in releases for client in shared.received]
        history = [*private.history, *shared.history, *public]
        return RoundOutcome(state.having({}, round), history, events, [shared.fold])

    def course(self, heard: Mapping[int, Heard]) -> Iterator[Event]:
        persistent = self.options.public_optimizer == "persistent"
        for one in rounds_of(heard):
            yield Private(one.round)
            yield Answer(one.round)
            peers = [peer_predictions(payload, phases.as_labels(one.fold)) for payload in one.predictions.values()]
            loss = peer_loss(peers, self.options)
            yield Fit(one.fold, loss, self.options.public_epochs, "public", own_moments=persistent, round=one.round)
            if self.options.update_order == "sequential":
                yield Renewal(one.round)
            if self.options.average_weights:
                yield Upload(one.round)
            for tensors in one.weights.values():
                yield TakeOver(tensors)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)

    def _public_phase(
        self,
        state: FederationState,
        round: int,
        env: Environment,
        channel: Channel,
        sent: Mapping[int, Predictions],
    ) -> tuple[FederationState, list[HistoryRow]]:
        fold = env.records(env.public_ids(round))
        labels = phases.as_labels(fold)
        persistent = self.options.public_optimizer == "persistent"
        history: list[HistoryRow] = []
        received = self._relay(channel, sent)
        for client in sent:
            peers = [peer_predictions(payload, labels) for payload in received[client].values()]
            learner = phases.load(env, state, client)
            loss = peer_loss(peers, self.options)
            epochs = phases.fit_public(learner, fold, self.options.public_epochs, env, client, round, loss, persistent)
            history += phases.rows(epochs, round, client, "public")
            state = state.having(phases.store_public(env, state, client, learner, persistent))
            later = [other for other in sent if other > client]
            if self.options.update_order == "sequential" and later:
                values = released(learner.logits(fold.x), labels, self.options.payload)
                news = channel.send(client_name(client), SERVER, Predictions(values, self.options.payload), "renewed")
                copy = channel.send(SERVER, [client_name(c) for c in later], news, f"of {client_name(client)}")
                for other in later:
                    received[other][client] = copy
        return state, history

    def _relay(self, channel: Channel, sent: Mapping[int, Predictions]) -> dict[int, dict[int, Predictions]]:
        """What each client receives, by peer: one vector a peer, or (as peer -1) their mean.

        A defense that merges in the server's place gives one mean over all clients, the receiver's own included:
        means that leave one out would tell each client's predictions by their differences.
        """
        received: dict[int, dict[int, Predictions]] = {client: {} for client in sent}
        if len(sent) < 2:
            return received
        if self.options.peer_mode == "mean" and channel.aggregates:
            by_name = {client_name(client): payload for client, payload in sent.items()}
            everybody = channel.combined(by_name, lambda: mean_of_peers(list(sent.values()), self.options))
            copy = channel.send(SERVER, [client_name(client) for client in sent], everybody, "mean")
            for client in sent:
                received[client][-1] = copy
            return received
        if self.options.peer_mode == "mean":
            for client in sent:
                mean = mean_of_peers([sent[peer] for peer in sent if peer != client], self.options)
                received[client][-1] = channel.send(SERVER, client_name(client), mean, "mean of peers")
            return received
        for client, payload in sent.items():
            others = [peer for peer in sent if peer != client]
            copy = channel.send(SERVER, [client_name(p) for p in others], payload, f"of {client_name(client)}")
            for peer in others:
                received[peer][client] = copy
        return received


def released(logits: Tensor, labels: Tensor, form: str) -> Tensor:
    """The values [N, C or 1] that a client sends for its logits."""
    if form == "logits":
        return logits
    if form == "probabilities":
        return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)
    if form == "losses":
        return cross_entropy(logits, labels, reduction="none")[:, None]
    return predicted_class(logits)[:, None].to(torch.uint8)


@dataclass(frozen=True, eq=False)
class Peer:
    """A peer's predictions as log-probabilities [N, C]; of ``true class or not`` [N, 2] when losses were sent."""

    log_q: Tensor
    of_true_class: bool = False
    hard: Tensor | None = None


def peer_predictions(payload: Predictions, labels: Tensor) -> Peer:
    """A received payload as log-probabilities, clipped as Keras clips them where logarithms need it."""
    values = payload.values
    if payload.form == "logits":
        return Peer(log_probabilities(values))
    if payload.form == "losses":
        q = (-values[:, 0]).exp().clamp(CLIP, 1 - CLIP)
        return Peer(torch.stack([(1 - q).log(), q.log()], dim=1), of_true_class=True)
    if payload.form == "labels":
        return Peer(torch.empty(0), hard=values[:, 0].long())
    if values.shape[1] == 1:
        q = values[:, 0].clamp(CLIP, 1 - CLIP)
        return Peer(torch.stack([(1 - q).log(), q.log()], dim=1))
    return Peer(torch.log_softmax(values.clamp_min(CLIP).log(), dim=1))


def peer_loss(peers: list[Peer], options: MutualOptions) -> Loss:
    """``CE + w T^2 mean_j KL`` as a loss on a batch of the public fold; every peer is a constant."""
    if not peers or options.kl_weight == 0:
        return of_logits(partial(_labels_alone, counts=options.public_labels))
    if options.kl != "literal" and not any(peer.of_true_class or peer.hard is not None for peer in peers):
        return _of_mean(peers, options)
    literal = options.kl == "literal"
    heat = options.temperature

    def loss(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        total = _labels_alone(logits, labels, rows, options.public_labels)
        log_p = log_probabilities(logits, heat)
        terms = []
        for peer in peers:
            if peer.hard is not None:
                terms.append(torch.nn.functional.nll_loss(log_p, peer.hard.to(rows.device)[rows]))
                continue
            log_q = _softened(peer, heat).to(rows.device)[rows]
            own = true_class_or_not(log_p, labels) if peer.of_true_class else log_p
            if literal:
                terms.append(literal_kl(own, log_q) if options.kl_direction == "own_peer" else literal_kl(log_q, own))
            elif options.kl_direction == "own_peer":
                terms.append(kl_divergence(own, log_q))
            else:
                terms.append(kl_divergence(log_q, own))
        return total + options.kl_weight * heat**2 * torch.stack(terms).mean()

    return of_logits(loss)


def _labels_alone(logits: Tensor, labels: Tensor, _: Tensor, counts: bool) -> Tensor:
    return cross_entropy(logits, labels) if counts else logits.sum() * 0


def _softened(peer: Peer, heat: float) -> Tensor:
    return peer.log_q if heat == 1 else torch.log_softmax(peer.log_q / heat, dim=1)


def _of_mean(peers: list[Peer], options: MutualOptions) -> Taught:
    """The same loss as one divergence, to the mean of all peers."""
    logs = torch.stack([_softened(peer, options.temperature) for peer in peers])
    weights = options.kl_weight, options.temperature, options.public_labels
    if options.kl_direction == "own_peer":
        return Taught(logs.mean(dim=0), None, *weights)
    return Taught(logs.exp().mean(dim=0), (logs.exp() * logs).sum(dim=2).mean(dim=0), *weights)


def true_class_or_not(log_p: Tensor, labels: Tensor) -> Tensor:
    """Log-probabilities [B, 2] of (another class, the true class) from [B, C]."""
    true = log_p.gather(1, labels[:, None])
    other = log_p.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat([other, true], dim=1)


def mean_of_peers(peers: list[Predictions], options: MutualOptions) -> Predictions:
    """One payload with the same gradient as all peers, for probabilities and logits.

    KL(own || peer) needs the mean of log q; KL(peer || own) the mean of q as softened at the receiver; the literal
    formula in the paper's direction the mean of log P(class 1).
    """
    single, heat = peers[0].values.shape[1] == 1, options.temperature
    logs = torch.stack([peer_predictions(peer, torch.empty(0)).log_q for peer in peers])
    if options.kl_direction == "own_peer" and options.kl != "literal":
        mean = logs.mean(dim=0)
        return Predictions(mean[:, 1:] - mean[:, :1] if single else mean, "logits")
    soft = torch.log_softmax(logs / heat, dim=2)
    if options.kl_direction == "own_peer":
        one = soft[:, :, 1].clamp_min(math.log(CLIP)).mean(dim=0).exp()
        q = torch.stack([1 - one, one], dim=1)
    else:
        q = soft.exp().mean(dim=0)
    if heat == 1:
        return Predictions(q[:, 1:] if single else q, "probabilities")
    sharp = heat * q.clamp_min(torch.finfo(q.dtype).tiny).log()
    return Predictions(sharp[:, 1:] - sharp[:, :1] if single else sharp, "logits")


def _averaged(state: FederationState, round: int, env: Environment, channel: Channel) -> FederationState:
    """Upload, average uniformly, broadcast: after this weights were shared after all."""
    clients = env.senders(round)
    if not clients:
        return state
    sent = [channel.send(client_name(c), SERVER, Weights(state.parts[phases.model_part(c)])).tensors for c in clients]
    mean = channel.send(SERVER, [client_name(c) for c in clients], Weights(weighted_mean(sent))).tensors
    return state.having({phases.model_part(c): mean for c in clients})
