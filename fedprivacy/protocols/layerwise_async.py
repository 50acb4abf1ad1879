"""Asynchronous weight updating by layer groups (Gupta, Fadlullah, Fouda, IoTaIS 2022).

A schedule of layers, not of events: the deep (dense) group travels every ``deep_every`` rounds, the shallow group in
all others. The server averages the group weighted by the clients' validation accuracies, writes it into its own
model, trains that on a labelled public fold, and broadcasts the group. The other group stays with each client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import LayerwiseOptions
from fedprivacy.data.needs import trained_part
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.models.contract import deep_prefixes
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.training.losses import predicted_class
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Scalars, Weights

SERVER_MODEL, SERVER_MOMENTS = "server/model", "server/moments"


@dataclass(frozen=True)
class LayerwiseAsync:
    """The protocol with its options."""

    options: LayerwiseOptions

    def check(self, env: Environment) -> None:
        if len(set(map(env.architecture, range(env.clients)))) > 1:
            raise UsageError("protocol layerwise-async: averaging needs one architecture for all clients.")
        if self.options.server_epochs and not len(env.division.public[0]):
            raise UsageError(
                "protocol layerwise-async: the server trains on labelled public folds; data.public_size must be "
                "above 0, or server_epochs 0."
            )

        deep_prefixes(env.workbench.module(env.architecture(0)))

    def init(self, env: Environment) -> RoundOutcome:
        outcome = phases.start(env)
        return RoundOutcome(
            outcome.state.having({SERVER_MODEL: outcome.state.parts[phases.model_part(0)], SERVER_MOMENTS: {}}),
            outcome.history,
        )

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        trained = phases.private_phase(state, round, env)
        state, history = trained.state, list(trained.history)
        group = self._group(env, round)
        sent, accuracies = [], []
        for client in env.senders(round):
            weights = state.parts[phases.model_part(client)]
            value = {"accuracy": torch.tensor(_accuracy(state, env, client, round), dtype=torch.float32)}
            upload = Weights({name: weights[name] for name in group})
            sent.append(channel.send(client_name(client), SERVER, upload, "group").tensors)
            accuracies.append(
                float(channel.send(client_name(client), SERVER, Scalars(value), "accuracy").tensors["accuracy"])
            )
        merged = merge(sent, accuracies, self.options.normalise) if sent else {}
        server, moments, rows = self._server_phase(
            {**state.parts[SERVER_MODEL], **merged}, state.parts[SERVER_MOMENTS], round, env
        )
        history += rows
        download = Weights({name: server[name] for name in group})
        everyone = [client_name(client) for client in range(env.clients)]
        received = channel.send(SERVER, everyone, download, "group").tensors
        parts: dict[str, Part] = {SERVER_MODEL: server, SERVER_MOMENTS: moments}
        for client in range(env.clients):
            parts[phases.model_part(client)] = {**state.parts[phases.model_part(client)], **received}
        releases = ("weights", "accuracy")
        events = [phases.unprotected(c, round, what) for what in releases for c in env.senders(round)]
        folds = [phases.public_fold(env, round, True, to_clients=False)] if self.options.server_epochs else []
        return RoundOutcome(state.having(parts, round), history, events, folds)

    def held(self, client: int) -> str:
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        work = averaging.local_weights(phases.private_phase(state, round, env, clients=[client]), client)
        weights = work.parts[phases.model_part(client)]
        return replace(work, payload=Weights({name: weights[name] for name in self._group(env, round)}))

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)

    def _group(self, env: Environment, round: int) -> list[str]:
        module = env.workbench.module(env.architecture(0))
        prefixes = deep_prefixes(module)
        deep = round % self.options.deep_every == 0
        return [name for name in module.state_dict() if name.startswith(prefixes) == deep]

    def _server_phase(
        self, weights: Mapping[str, Tensor], moments: Part, round: int, env: Environment
    ) -> tuple[Part, Part, list[HistoryRow]]:
        """The server's model after its public phase, what its optimiser keeps, and the history."""
        if not self.options.server_epochs:
            return weights, moments, []
        learner = env.workbench.learner(env.architecture(0), weights, moments)
        fold = env.public_ids(round)
        fold = fold[: max(1, trained_part(len(fold), 1 - self.options.server_share))]
        name = ("server", "round", round, "public")
        epochs = phases.fitted(
            learner,
            env.records(fold),
            self.options.server_epochs,
            env,
            name,
            "server phase",
            phases.SERVER_ID,
            round,
        )
        kept = learner.moments() if self.options.server_optimizer == "persistent" else {}
        return learner.weights(), kept, phases.rows(epochs, round, phases.SERVER_ID, "server")


def merge(states: Sequence[Mapping[str, Tensor]], accuracies: Sequence[float], normalise: str) -> dict[str, Tensor]:
    """``sum_k v_k w_k`` over ``sum_k v_k``, or over K as published, which shrinks the group by the mean accuracy.

    All accuracies zero: the plain mean under ``sum``, zero weights under ``clients``.
    """
    if normalise == "sum":
        return weighted_mean(states, accuracies if sum(accuracies) > 0 else None)
    scaled = [{n: t * v for n, t in state.items()} for state, v in zip(states, accuracies, strict=True)]
    return weighted_mean(scaled)


def _accuracy(state: FederationState, env: Environment, client: int, round: int) -> float:
    """Accuracy on the validation part of the round's fold; on the private fold itself where there is none."""
    part = env.validation(client, round)
    records = part if len(part) else env.private(client, round)
    logits = env.workbench.logits(env.architecture(client), state.parts[phases.model_part(client)], records.x)
    return float((predicted_class(logits) == phases.as_labels(records)).double().mean())
