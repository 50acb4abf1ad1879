"""Local work, upload, weighted mean and broadcast: what the protocols that average models share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from fedprivacy.config.base import UsageError
from fedprivacy.federation import phases
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.federation.local_training import LocalWork
from fedprivacy.training.aggregation import weighted_mean
from fedprivacy.training.joint import Step, fit_together
from fedprivacy.training.learner import Diverged, Epoch, Learner, Loss, Records
from fedprivacy.training.losses import predicted_class
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER, client_name
from fedprivacy.wire.payload import Scalars, Weights
from fedprivacy.wire.release import Release, of_clients

GLOBAL = "server/model"
"""Part of a state that holds the server's model."""

LossFor = Callable[[int, Learner], Loss]
"""(client, its learner with the weights it starts from) -> the loss of its local training."""


def one_architecture(env: Environment, protocol: str) -> None:
    """Raise UsageError where clients have different architectures."""
    if len(set(map(env.architecture, range(env.clients)))) > 1:
        raise UsageError(f"protocol {protocol}: averaging needs one architecture for all clients.")


def known_model(env: Environment, protocol: str, option: str, model: str, slot: str) -> None:
    """Raise UsageError where an option of a protocol names a model that does not exist or cannot read the records."""
    try:
        env.workbench.module(model, slot)
    except UsageError as error:
        words = str(error)
        raise UsageError(f"protocol {protocol}, {option}: {words[:1].lower()}{words[1:]}") from None


def common_start(env: Environment) -> RoundOutcome:
    """All clients and the server start from the same weights, that of client 0."""
    outcome = phases.start(env)
    first = outcome.state.parts[phases.model_part(0)]
    parts = {phases.model_part(client): first for client in range(env.clients)}
    return RoundOutcome(outcome.state.having({**parts, GLOBAL: first}), outcome.history)


def initial(env: Environment, architecture: str) -> tuple[Part, list[HistoryRow]]:
    """The common initial weights of an architecture: the same that clients of it start from under a shared start."""
    return phases.warm_up(env, architecture, ("initial", architecture))


def plain_training(env: Environment, protocol: str) -> None:
    """Raise UsageError where a defense changes local training that cannot be changed."""
    if env.private_fit is not None:
        raise UsageError(
            f"protocol {protocol}: its local loss joins models or weights, so differentially private training does not "
            "apply; use another protocol, or another defense."
        )


def local_work(state: FederationState, round: int, env: Environment, loss_for: LossFor) -> RoundOutcome:
    """Each participant fits its private fold under a loss of its own."""
    parts: dict[str, Part] = {}
    history: list[HistoryRow] = []
    for client in env.participants(round):
        learner = phases.load(env, state, client)
        epochs = phases.fit_private(learner, env, client, round, loss_for(client, learner))
        history += phases.rows(epochs, round, client, "private")
        parts |= phases.store(env, client, learner)
    return RoundOutcome(state.having(parts), history)


def local_weights(trained: RoundOutcome, client: int) -> LocalWork:
    """The local work of a client that sends all weights of its model."""
    parts = {name: trained.state.parts[name] for name in (phases.model_part(client), phases.moments_part(client))}
    return LocalWork(parts, trained.history, Weights(parts[phases.model_part(client)]))


def fitted_together(
    learners: Sequence[Learner], env: Environment, client: int, round: int, step: Step, stage: str = "private"
) -> list[Epoch]:
    """Fit the models of one client together to its private fold, with a divergence told by client and round."""
    name = ("client", client, "round", round, stage)
    records, epochs = env.private(client, round), env.settings.training.local_epochs

    def fit() -> list[Epoch]:
        try:
            return fit_together(learners, records, epochs, (env.root, name), step, env.settings.training.local_steps)
        except Diverged as error:
            raise Diverged(f"training diverged: {client_name(client)}, round {round}, {stage} phase: {error}") from None

    return env.played(client, name, learners, fit)


def accuracy_on(env: Environment, architecture: str, weights: Part, records: Records) -> float:
    """Share of ``records`` that a model gets right."""
    logits = env.workbench.logits(architecture, weights, records.x)
    return float((predicted_class(logits) == phases.as_labels(records)).double().mean())


def averaged(
    channel: Channel, env: Environment, round: int, uploads: Mapping[int, Part], by_records: bool, purpose: str = ""
) -> Weights | None:
    """Every client of ``uploads`` sends its weights (and n_k), the server takes their mean; None where nobody sends."""
    sent: dict[str, Weights] = {}
    counts: list[float] = []
    for client, tensors in uploads.items():
        name = client_name(client)
        sent[name] = channel.send(name, SERVER, Weights(tensors), purpose)
        if by_records:
            number = {"records": torch.tensor(len(env.private(client, round)), dtype=torch.int32)}
            counts.append(float(channel.send(name, SERVER, Scalars(number), "n_k").tensors["records"]))
    if not sent:
        return None
    shares = counts or None
    return channel.combined(sent, lambda: Weights(weighted_mean([w.tensors for w in sent.values()], shares)))


def listeners(env: Environment, round: int) -> list[int]:
    """Who is sent the model at the end of a round: those who take part in the next, and start from it.

    That is the broadcast of McMahan et al. 2017 (1602.05629, algorithm 1), where the server sends its model to the
    clients that it has drawn. After the last round those who took part in it get what they made.
    """
    return env.participants(min(round + 1, env.rounds))


def broadcast(channel: Channel, env: Environment, round: int, model: Weights) -> Part:
    """The server sends ``model`` to the :func:`listeners` of a round; what they receive."""
    return channel.send(SERVER, list(map(client_name, listeners(env, round))), model, "global").tensors


def averaging_round(
    state: FederationState,
    round: int,
    env: Environment,
    channel: Channel,
    trained: RoundOutcome,
    by_records: bool,
    releases: Sequence[Release],
) -> RoundOutcome:
    """The rest of a round after local training: upload, mean, broadcast. ``state`` is that before the training.

    Where every participant drops out, the server sends its old model again.
    """
    senders = env.senders(round)
    uploads = {client: trained.state.parts[phases.model_part(client)] for client in senders}
    mean = averaged(channel, env, round, uploads, by_records) or Weights(state.parts[GLOBAL])
    received = broadcast(channel, env, round, mean)
    parts: dict[str, Part] = {phases.model_part(client): received for client in listeners(env, round)}
    events = [phases.unprotected(client, round, release.name) for client in senders for release in releases]
    return RoundOutcome(
        trained.state.having({**parts, GLOBAL: received}, round), trained.history, events, trained.folds
    )


class Averaging:
    """The rounds of a protocol whose clients send their whole weights and take the mean; it says how they train."""

    options: Any
    """Its settings, with ``weighting`` and ``releases``."""

    def trained(self, state: FederationState, round: int, env: Environment, clients: Sequence[int]) -> RoundOutcome:
        """Local training of ``clients``; every protocol has its own."""
        raise NotImplementedError

    def round(self, state: FederationState, round: int, env: Environment, channel: Channel) -> RoundOutcome:
        after = self.trained(state, round, env, env.participants(round))
        by_records = self.options.weighting == "records"
        releases = of_clients(self.options.releases(env.settings))
        return averaging_round(state, round, env, channel, after, by_records, releases)

    def held(self, client: int) -> str:
        return phases.model_part(client)

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        return local_weights(self.trained(state, round, env, [client]), client)

    def models(self, state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
        return {"global": (env.architecture(0), state.parts[GLOBAL])}
