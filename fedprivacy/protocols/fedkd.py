"""Communication-efficient federated distillation (Wu et al. 2022, arXiv 2108.13323).

Each client has a private mentor and a copy of a common mentee. Both train on the private records and teach each other,
the more the better they are: divergences and the distance of hidden states are divided by the sum of both
cross-entropies. What travels is the mentee's change over the round in low-rank factors, both ways. The mentor never
leaves, and is the one that is tested.

The paper sends gradients, its code updates; here it is the update of the whole round. Its one hidden loss for both
models is added once. Attention maps, which these models do not have, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor
from torch.nn import functional

from fedprivacy.config.protocols import FedKdOptions
from fedprivacy.federation import averaging, phases, projections
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.training.distillation import fedkd_loss
from fedprivacy.training.features import feature_size, features_and_logits
from fedprivacy.training.learner import Epoch, Learner
from fedprivacy.training.low_rank import compress, energy_at
from fedprivacy.wire.channel import Channel, change
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Update
from fedprivacy.wire.payloads import LowRank


def mentee_moments_part(client: int) -> str:
    """Name of the part with the optimiser state of a client's mentee."""
    return f"{client_name(client)}/mentee-moments"


def residual_part(party: str) -> str:
    """Name of the part with what a party's last compression lost; empty without error feedback."""
    return f"{party}/residual"


@dataclass(frozen=True)
class FedKd:
    """The protocol with its options. ``server/model`` is the mentee."""

    options: FedKdOptions

    def check(self, env: Environment) -> None:
        averaging.known_model(env, "fedkd", "mentee", self.mentee(env), "mentee")

    def init(self, env: Environment) -> RoundOutcome:
        averaging.plain_training(env, "fedkd")
        outcome = phases.start(env)
        mentee, _ = averaging.initial(env, self.mentee(env))
        parts: dict[str, Part] = {averaging.GLOBAL: mentee, residual_part(SERVER): {}}
        inputs = feature_size(env.workbench.module(self.mentee(env), "mentee"))
        for client in range(env.clients):
            outputs = feature_size(env.workbench.module(env.architecture(client)))
            parts |= projections.projection_start(env, client, inputs, outputs)
            parts |= {mentee_moments_part(client): {}, residual_part(client_name(client)): {}}
        return RoundOutcome(outcome.state.having(parts), outcome.history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        start = state.parts[averaging.GLOBAL]
        energy = energy_at(self.options.energy_start, self.options.energy_end, round, env.rounds)
        history: list[HistoryRow] = []
        updates: dict[int, Update] = {}
        for client in env.participants(round):
            parts, epochs, end = self._trained(state, env, client, round)
            state = state.having(parts)
            history += phases.rows(epochs, round, client, "private")
            updates[client] = change(start, end)
        sent: dict[str, Update] = {}
        senders = env.senders(round)
        for client in senders:
            name = client_name(client)
            packed, state = self._packed(state, name, updates[client], energy)
            sent[name] = cast("Update", channel.send(name, SERVER, packed))
        if sent:
            mean = channel.combined(sent, lambda: Update(weighted_mean([u.tensors for u in sent.values()])))
            packed, state = self._packed(state, SERVER, mean, energy)
            everyone = [client_name(client) for client in range(env.clients)]
            received = cast("Update", channel.send(SERVER, everyone, packed, "global")).tensors
            mentee = {name: t + received[name] if name in received else t for name, t in start.items()}
            state = state.having({averaging.GLOBAL: mentee})
        events = [phases.unprotected(client, round, "update") for client in senders]
        return RoundOutcome(state.having({}, round), history, events)

    def held(self, client: int) -> str:
        return averaging.GLOBAL

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        energy = energy_at(self.options.energy_start, self.options.energy_end, round, env.rounds)
        parts, epochs, end = self._trained(state, env, client, round)
        name = client_name(client)
        packed, after = self._packed(state, name, change(state.parts[averaging.GLOBAL], end), energy)
        kept = {residual_part(name): after.parts[residual_part(name)]}
        return LocalWork({**parts, **kept}, phases.rows(epochs, round, client, "private"), packed)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {**phases.own_models(state, env), "server": (self.mentee(env), state.parts[averaging.GLOBAL])}

    def mentee(self, env: Environment) -> str:
        """Architecture of the mentee."""
        return self.options.mentee or env.settings.training.model

    def _packed(
        self, state: FederationState, party: str, update: Update, energy: float
    ) -> tuple[LowRank, FederationState]:
        """What a party sends, and the state with what that lost."""
        lost = state.parts[residual_part(party)]
        whole = {name: t + lost[name] if name in lost else t for name, t in update.tensors.items()}
        packed = compress(whole, energy)
        if not self.options.error_feedback:
            return packed, state
        kept = packed.opened().tensors
        return packed, state.having({residual_part(party): {name: t - kept[name] for name, t in whole.items()}})

    def _trained(
        self, state: FederationState, env: Environment, client: int, round: int
    ) -> tuple[dict[str, Part], list[Epoch], Part]:
        """A client's parts after local training, what each pass measured, and its mentee."""
        keep = env.settings.training.optimizer_state == "persistent"
        mentor = phases.load(env, state, client)
        moments = state.parts[mentee_moments_part(client)] if keep else None
        mentee = env.workbench.learner(self.mentee(env), state.parts[averaging.GLOBAL], moments, "mentee")
        projection = projections.load_projection(env, state, client)

        def step(x: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            hidden_t, logits_t = features_and_logits(mentor.module, x)
            hidden_s, logits_s = features_and_logits(mentee.module, x)
            distance = None
            if self.options.hidden_weight:
                mapped = projections.projected(hidden_s, projection)
                distance = self.options.hidden_weight * functional.mse_loss(hidden_t, mapped)
            floor, through = self.options.weight_floor, self.options.grad_through_weight
            return fedkd_loss(logits_t, logits_s, labels, distance, floor, through), logits_t

        learners: list[Learner] = [mentor, mentee]
        if projection is not None and self.options.hidden_weight:
            learners.append(projection)
        epochs = averaging.fitted_together(learners, env, client, round, step)
        parts = phases.store(env, client, mentor) | projections.store_projection(env, client, projection)
        parts[mentee_moments_part(client)] = mentee.moments() if keep else {}
        return parts, epochs, mentee.weights()
