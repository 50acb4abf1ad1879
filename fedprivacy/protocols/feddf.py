"""Ensemble distillation for robust model fusion at the server (Lin et al. 2020, arXiv 2006.07242).

Weights go up as in federated averaging. The server starts from the average of each architecture and distils the mean
logits of all received models into it on unlabelled records of its own; a labelled part of these says when to stop.
Nothing is distilled at clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy.config.base import UsageError
from fedprivacy.config.protocols import FedDfOptions
from fedprivacy.federation import averaging, phases
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import RoundOutcome, releases_of
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training import consensus
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.training.fusion import Fusion, fuse
from fedprivacy.training.learner import Diverged, Records
from fedprivacy.training.losses import predicted_class
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Scalars, Weights


def fused_part(architecture: str) -> str:
    """Name of the part with the server's model of an architecture."""
    return f"server/fused-{architecture}"


@dataclass(frozen=True)
class FedDf:
    """The protocol with its options."""

    options: FedDfOptions

    def check(self, env: Environment) -> None:
        number = len(env.division.public[0])
        if number < 2 or not 0 < self._validation_size(number) < number:
            raise UsageError(
                "protocol feddf: the server needs public records to distil on and some with labels to stop by; "
                "raise data.public_size, or mend options.validation."
            )

    def init(self, env: Environment) -> RoundOutcome:
        outcome = phases.start(env)
        parts: dict[str, Part] = {}
        for client in reversed(range(env.clients)):
            parts[fused_part(env.architecture(client))] = outcome.state.parts[phases.model_part(client)]
        state = outcome.state.having(parts)
        same = {phases.model_part(c): parts[fused_part(env.architecture(c))] for c in range(env.clients)}
        return RoundOutcome(state.having(same), outcome.history)

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        trained = phases.private_phase(state, round, env)
        senders = env.senders(round)
        received, shares = self._received(trained.state, round, env, channel, senders)
        fused = self._fused(received, shares, round, env) if received else {}
        parts: dict[str, Part] = {}
        for architecture in sorted(set(map(env.architecture, range(env.clients)))):
            owners = [c for c in range(env.clients) if env.architecture(c) == architecture]
            model = fused.get(architecture, state.parts[fused_part(architecture)])
            names = [client_name(client) for client in owners]
            copy = channel.send(SERVER, names, Weights(model), "global").tensors
            parts[fused_part(architecture)] = copy
            parts |= {phases.model_part(client): copy for client in owners}
        events = [phases.unprotected(c, round, release.name) for c in senders for release in releases_of(self, env)]
        folds = [phases.public_fold(env, round, labelled=True, to_clients=False)]
        return RoundOutcome(trained.state.having(parts, round), trained.history, events, folds)

    def held(self, client: int) -> str:
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        return averaging.local_weights(phases.private_phase(state, round, env, clients=[client]), client)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        names = sorted(set(map(env.architecture, range(env.clients))))
        if len(names) == 1:
            return {"global": (names[0], state.parts[fused_part(names[0])])}
        return {f"global-{name}": (name, state.parts[fused_part(name)]) for name in names}

    def _received(
        self, state: FederationState, round: int, env: Environment, channel: Channel, senders: Sequence[int]
    ) -> tuple[dict[int, Part], dict[int, float]]:
        received: dict[int, Part] = {}
        shares: dict[int, float] = {}
        for client in senders:
            name = client_name(client)
            received[client] = channel.send(name, SERVER, Weights(state.parts[phases.model_part(client)])).tensors
            shares[client] = 1.0
            if self.options.weighting == "records":
                number = {"records": torch.tensor(len(env.private(client, round)), dtype=torch.int32)}
                shares[client] = float(channel.send(name, SERVER, Scalars(number), "n_k").tensors["records"])
        return received, shares

    def _validation_size(self, number: int) -> int:
        return max(1, int(self.options.validation * number))

    def _fused(
        self, received: Mapping[int, Part], shares: Mapping[int, float], round: int, env: Environment
    ) -> dict[str, Part]:
        """One model an architecture that was received."""
        fold = env.records(env.public_ids(round))
        held = self._validation_size(len(fold))
        unlabelled = Records(fold.x[:-held], fold.y[:-held])
        validation = Records(fold.x[-held:], fold.y[-held:])
        logits = {c: env.workbench.logits(env.architecture(c), weights, fold.x) for c, weights in received.items()}
        used = self._above_chance(logits, validation, len(env.dataset.classes))
        target = consensus.mean([logits[client][:-held] for client in used])
        plan = Fusion(self.options.steps, self.options.patience, self.options.lr, self.options.batch_size)
        fused: dict[str, Part] = {}
        for architecture in sorted({env.architecture(client) for client in used}):
            group = [client for client in used if env.architecture(client) == architecture]
            mean = weighted_mean([received[client] for client in group], [shares[client] for client in group])
            student = env.workbench.learner(architecture, mean)
            seed = (env.root, ("server", "round", round, "fusion", architecture))
            try:
                fuse(student, unlabelled, target, validation, plan, seed)
            except Diverged as error:
                raise Diverged(f"training diverged: the server, round {round}, fusion: {error}") from None
            fused[architecture] = student.weights()
        return fused

    def _above_chance(self, logits: Mapping[int, Tensor], validation: Records, classes: int) -> list[int]:
        """Clients whose models are used: all, or those above chance on the validation part, if there are any."""
        labels = phases.as_labels(validation)
        above = [
            client
            for client, z in logits.items()
            if float((predicted_class(z[-len(labels) :]) == labels).double().mean()) > 1 / classes
        ]
        return above if self.options.drop_at_chance and above else list(logits)
