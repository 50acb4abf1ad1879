"""Common layers and predictions together, FedKD-hybrid (arXiv 2501.04066).

Clients of different architectures agree on layers that are the same in all of them and on public records. A round:
private training; the common layers and logits on the fold go up; the server averages both; each client takes the mean
layers over and distils towards the mean logits. Losses, weights and their order are choices where the paper could not
be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.config.protocols import FedKdHybridOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.course import TOGETHER, Answer, Event, Fit, Heard, Private, TakeOver, Upload, rounds_of
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome, Shared, releases_of
from fedprivacy.training import consensus
from fedprivacy.training.distillation import digest_loss
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Predictions, Weights


@dataclass(frozen=True)
class FedKdHybrid:
    """The protocol with its options."""

    options: FedKdHybridOptions

    def check(self, env: Environment) -> None:
        if not len(env.division.public[0]):
            raise UsageError(
                "protocol fedkd-hybrid: shares predictions on public records; data.public_size must be above 0."
            )
        common = common_names(env)
        for layer in self.options.shared_layers:
            if not any(_inside(name, layer) for name in common):
                layers = sorted({name.rpartition(".")[0] for name in common})
                raise UsageError(
                    f"protocol fedkd-hybrid: shared_layers: no layer '{layer}' is the same in all models. "
                    f"{near_miss(layer, layers)}"
                )
        if not self.shared(env):
            names = ", ".join(sorted(set(map(env.architecture, range(env.clients)))))
            raise UsageError(
                f"protocol fedkd-hybrid: the models {names} have no layer of the same name and shape; "
                "use fedmd, which shares predictions alone."
            )

    def init(self, env: Environment) -> RoundOutcome:
        return phases.start(env)

    def private_phase(self, state: FederationState, round: int, env: Environment) -> RoundOutcome:
        return phases.private_phase(state, round, env)

    def share(self, state: FederationState, round: int, env: Environment, channel: Channel) -> Shared:
        fold = env.records(env.public_ids(round))
        sent, history = {}, []
        for client in env.senders(round):
            logits = env.workbench.logits(env.architecture(client), state.parts[phases.model_part(client)], fold.x)
            sent[client] = channel.send(client_name(client), SERVER, Predictions(logits, "logits"))
            history.append(phases.look(logits, phases.as_labels(fold), round, client))
        return Shared(sent, phases.public_fold(env, round, labelled=False), history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        private = self.private_phase(state, round, env)
        state = private.state
        shared = self.share(state, round, env, channel)
        history = [*private.history, *shared.history]
        if shared.received:
            clients = list(shared.received)
            by_name = {client_name(client): payload for client, payload in shared.received.items()}
            logits = channel.combined(
                by_name, lambda: Predictions(consensus.mean([p.values for p in by_name.values()]), "logits")
            )
            target = channel.send(SERVER, list(by_name), logits, "consensus")
            layers = self._layers(state, round, env, channel, clients)
            if self.options.order == "layers-first":
                state = _overwritten(state, clients, layers)
            state, rows = self._distilled(state, round, env, target, clients)
            history += rows
            if self.options.order == "logits-first":
                state = _overwritten(state, clients, layers)
        events = [
            phases.unprotected(client, round, release.name)
            for client in shared.received
            for release in releases_of(self, env)
        ]
        return RoundOutcome(state.having({}, round), history, events, [shared.fold])

    def course(self, heard: Mapping[int, Heard]) -> Iterator[Event]:
        for one in rounds_of(heard):
            yield Private(one.round)
            yield Answer(one.round)
            yield Upload(one.round)
            layers = [TakeOver(tensors) for tensors in one.weights.values()]
            if self.options.order == "layers-first":
                yield from layers
            if TOGETHER in one.predictions:
                loss = digest_loss(one.predictions[TOGETHER].values, "kl", self.options.temperature)
                yield Fit(one.fold, loss, self.options.distill_epochs, "public", round=one.round)
            if self.options.order == "logits-first":
                yield from layers

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)

    def shared(self, env: Environment) -> list[str]:
        """Names of the tensors that travel."""
        layers, common = self.options.shared_layers, common_names(env)
        return [name for name in common if not layers or any(_inside(name, layer) for layer in layers)]

    def _layers(
        self, state: FederationState, round: int, env: Environment, channel: Channel, clients: Sequence[int]
    ) -> Part:
        names = self.shared(env)
        uploads = {c: {name: state.parts[phases.model_part(c)][name] for name in names} for c in clients}
        mean = averaging.averaged(channel, env, round, uploads, self.options.weighting == "records", "layers")
        assert mean is not None
        return channel.send(SERVER, [client_name(c) for c in clients], Weights(mean.tensors), "layers").tensors

    def _distilled(
        self, state: FederationState, round: int, env: Environment, target: Predictions, clients: Sequence[int]
    ) -> tuple[FederationState, list[HistoryRow]]:
        fold = env.records(env.public_ids(round))
        loss = digest_loss(target.values, "kl", self.options.temperature)
        history: list[HistoryRow] = []
        for client in clients:
            learner = phases.load(env, state, client)
            passes = phases.fit_public(learner, fold, self.options.distill_epochs, env, client, round, loss)
            history += phases.rows(passes, round, client, "public")
            state = state.having(phases.store_public(env, state, client, learner, persistent=False))
        return state, history


def common_names(env: Environment) -> list[str]:
    """Tensors that have the same name and shape in every client's architecture."""
    states = [
        env.workbench.module(name).state_dict() for name in dict.fromkeys(map(env.architecture, range(env.clients)))
    ]
    return [n for n in states[0] if all(n in s and s[n].shape == states[0][n].shape for s in states[1:])]


def _inside(name: str, layer: str) -> bool:
    return name == layer or name.startswith(f"{layer}.")


def _overwritten(state: FederationState, clients: Sequence[int], layers: Part) -> FederationState:
    return state.having({phases.model_part(c): {**state.parts[phases.model_part(c)], **layers} for c in clients})
