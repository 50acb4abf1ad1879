"""Prototypes and a distilled student from peer to peer, ProFe (arXiv 2412.11207, ICC 2025).

No server. Each node has a teacher that stays, and a student. A round: the teacher learns from the labels and the
prototypes, the student from labels, prototypes and the teacher; student weights (16 bit) and class prototypes go to
the neighbours; each node averages what it receives with its own. Loss weights are those of published code of the same
group where the paper could not be read. Where feature sizes differ, a learned local projection maps the teacher's
features to the student's size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocols import ProFeOptions
from fedprivacy.federation import averaging, phases, projections
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome, releases_of
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training import prototypes
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.training.distillation import profe_loss
from fedprivacy.training.features import feature_size, features_and_logits, features_of
from fedprivacy.training.learner import Epoch
from fedprivacy.training.losses import cross_entropy
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import client_name
from fedprivacy.wire.payload import Weights
from fedprivacy.wire.payloads import Prototypes


def student_part(client: int) -> str:
    """Name of the part with a node's student."""
    return f"{client_name(client)}/student"


def student_moments_part(client: int) -> str:
    """Name of the part with the optimiser state of a node's student."""
    return f"{client_name(client)}/student-moments"


def prototypes_part(client: int) -> str:
    """Name of the part with the prototypes that a node has."""
    return f"{client_name(client)}/prototypes"


@dataclass(frozen=True)
class ProFe:
    """The protocol with its options. ``client-k/model`` is the teacher."""

    options: ProFeOptions
    answers_by: ClassVar[str] = "nearest_prototype"

    def check(self, env: Environment) -> None:
        averaging.known_model(env, "profe", "student", self.student(env), "student")

    def init(self, env: Environment) -> RoundOutcome:
        averaging.plain_training(env, "profe")
        outcome = phases.start(env)
        student, _ = averaging.initial(env, self.student(env))
        width = feature_size(env.workbench.module(self.student(env), "student"))
        parts: dict[str, Part] = {}
        for client in range(env.clients):
            own = feature_size(env.workbench.module(env.architecture(client)))
            parts |= {student_part(client): student, student_moments_part(client): {}}
            parts[prototypes_part(client)] = prototypes.to_part(prototypes.none_of(width))
            if own == width:
                parts |= projections.without_projection(client)
            else:
                parts |= projections.projection_start(env, client, own, width)
        return RoundOutcome(outcome.state.having(parts), outcome.history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        history: list[HistoryRow] = []
        own: dict[int, tuple[Part, Prototypes]] = {}
        heard: dict[int, dict[int, tuple[Part, Prototypes]]] = {client: {} for client in range(env.clients)}
        senders, graph = env.senders(round), env.settings.graph
        for client in env.participants(round):
            parts, epochs, held = self._trained(state, env, client, round)
            state = state.having(parts)
            history += phases.rows(epochs, round, client, "private")
            own[client] = (parts[student_part(client)], held)
        for client in senders:
            receivers = graph.neighbours(client)
            names, sender = [client_name(peer) for peer in receivers], client_name(client)
            if not receivers:
                continue
            weights = channel.send(sender, names, Weights(self._packed(own[client][0])), "student").tensors
            means = channel.send(sender, names, self._rounded(own[client][1]), "prototypes")
            full = {n: t.float() if t.is_floating_point() else t for n, t in weights.items()}
            for peer in (peer for peer in receivers if peer in senders):
                heard[peer][client] = full, replace(means, means=means.means.float())
        for client in own:
            everything = [own[client], *heard[client].values()]
            known = prototypes.of_part(state.parts[prototypes_part(client)])
            merged = prototypes.renewed(known, prototypes.merged([held for _, held in everything]))
            models = {peer: weights for peer, (weights, _) in heard[client].items()}
            mean = self.mixed(env.settings, client, own[client][0], models)
            state = state.having({student_part(client): mean, prototypes_part(client): prototypes.to_part(merged)})
        events = [
            phases.unprotected(client, round, release.name)
            for client in senders
            if graph.neighbours(client)
            for release in releases_of(self, env)
        ]
        return RoundOutcome(state.having({}, round), history, events)

    def held(self, client: int) -> str:
        return student_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        parts, epochs, _ = self._trained(state, env, client, round)
        packed = Weights(self._packed(parts[student_part(client)]))
        return LocalWork(parts, phases.rows(epochs, round, client, "private"), packed)

    def mixed(self, settings: FederationSettings, client: int, own: Part, heard: Mapping[int, Part]) -> Part:
        return weighted_mean([own, *heard.values()])

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return phases.own_models(state, env)

    def answers(self, state: FederationState, env: Environment, x: NDArray[Any]) -> Mapping[str, Tensor]:
        """Nearness [N, C] of the student's features to each prototype, by node. None before the first exchange."""
        result = {}
        for client in range(env.clients):
            known = prototypes.of_part(state.parts[prototypes_part(client)])
            if len(known.classes):
                means, present = prototypes.table(known, len(env.dataset.classes))
                learner = env.workbench.learner(self.student(env), state.parts[student_part(client)], slot="student")
                near = prototypes.nearness(features_of(learner.module, x, learner.device), means, present)
                result[client_name(client)] = near
        return result

    def student(self, env: Environment) -> str:
        """Architecture of the student."""
        return self.options.student or env.settings.training.model

    def teaching(self, round: int) -> tuple[float, float]:
        """alpha and beta of a round: halved each round, 0 below 0.1."""
        factor = 0.5 ** (round - 1) if self.options.halving else 1.0
        alpha, beta = factor * self.options.alpha, factor * self.options.beta
        return (alpha if alpha >= 0.1 else 0.0), (beta if beta >= 0.1 else 0.0)

    def _packed(self, weights: Part) -> Part:
        if self.options.transport_bits == 32:
            return weights
        return {name: t.half() if t.is_floating_point() else t for name, t in weights.items()}

    def _rounded(self, held: Prototypes) -> Prototypes:
        return held if self.options.prototype_bits == 32 else replace(held, means=held.means.half())

    def _own_loss(self, logits: Tensor, features: Tensor, labels: Tensor, means: Tensor, present: Tensor) -> Tensor:
        """Cross-entropy and the pull to the prototypes; cross-entropy alone while there are none."""
        share = self.options.prototype_share
        if not share or not bool(present.any()):
            return cross_entropy(logits, labels)
        pull = prototypes.pull(features, labels, means, present)
        return (1 - share) * cross_entropy(logits, labels) + share * pull

    def _trained(
        self, state: FederationState, env: Environment, client: int, round: int
    ) -> tuple[dict[str, Part], list[Epoch], Prototypes]:
        """A node's parts after local training, what each pass of the teacher measured, and its own prototypes."""
        keep = env.settings.training.optimizer_state == "persistent"
        records, classes = env.private(client, round), len(env.dataset.classes)
        teacher, projection = phases.load(env, state, client), projections.load_projection(env, state, client)
        known = prototypes.table(prototypes.of_part(state.parts[prototypes_part(client)]), classes)
        means, present = (t.to(teacher.device) for t in known)

        def teach(x: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            hidden, logits = features_and_logits(teacher.module, x)
            return self._own_loss(logits, projections.projected(hidden, projection), labels, means, present), logits

        both = [teacher] if projection is None else [teacher, projection]
        epochs = averaging.fitted_together(both, env, client, round, teach)
        taught = teacher.logits(records.x).to(teacher.device)
        with torch.inference_mode():
            hidden = projections.projected(features_of(teacher.module, records.x, teacher.device), projection)
        features = hidden.to(teacher.device).clone()
        moments = state.parts[student_moments_part(client)] if keep else None
        student = env.workbench.learner(self.student(env), state.parts[student_part(client)], moments, "student")
        alpha, beta = self.teaching(round)

        def follow(x: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            hidden, logits = features_and_logits(student.module, x)
            own = self._own_loss(logits, hidden, labels, means, present)
            heat = self.options.temperature
            return profe_loss(logits, taught[rows], hidden, features[rows], own, alpha, beta, heat), logits

        averaging.fitted_together([student], env, client, round, follow, "student")
        if self.options.prototypes_of == "student":
            features = features_of(student.module, records.x, student.device)
        held = prototypes.of_classes(features.cpu(), phases.as_labels(records), classes)
        parts = phases.store(env, client, teacher) | projections.store_projection(env, client, projection)
        parts[student_part(client)] = student.weights()
        parts[student_moments_part(client)] = student.moments() if keep else {}
        return parts, epochs, held
