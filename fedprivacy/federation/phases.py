"""Building blocks of rounds that several protocols share: warm-up, private phase, labelled public phase, final models.

Parts of a state are named here: ``client-3/model``, ``client-3/moments``, ``server/model``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fedprivacy.data.needs import trained_part
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import RoundOutcome
from fedprivacy.privacy import NoNoise, PrivacyEvent
from fedprivacy.training.learner import Diverged, Epoch, Learner, Loss, Records, label_loss
from fedprivacy.training.losses import cross_entropy, predicted_class
from fedprivacy.training.stopping import Stopping
from fedprivacy.wire.parties import client_name
from fedprivacy.wire.transcript import PublicFold

SERVER_ID = -1
"""The server's number in history rows."""


def model_part(client: int) -> str:
    """Name of the part that holds a client's weights."""
    return f"{client_name(client)}/model"


def moments_part(client: int) -> str:
    """Name of the part that holds a client's optimiser state."""
    return f"{client_name(client)}/moments"


def start(env: Environment, clients: Iterable[int] | None = None) -> RoundOutcome:
    """Initial models of all clients: random, trained on the warm-up records where there are any.

    A shared start is one model an architecture, warmed up once and copied; an independent start is one a client.
    """
    parts: dict[str, Part] = {}
    history: list[HistoryRow] = []
    made: dict[tuple[str | int, ...], Part] = {}
    shared = env.settings.training.init == "shared"
    for client in range(env.clients) if clients is None else clients:
        name = env.architecture(client)
        key: tuple[str | int, ...] = ("initial", name) if shared else ("initial", name, client)
        if key not in made:
            made[key], rows = warm_up(env, name, key)
            history += rows
        parts[model_part(client)] = made[key]
        parts[moments_part(client)] = {}
    return RoundOutcome(FederationState(0, parts), history)


def warm_up(env: Environment, architecture: str, key: tuple[str | int, ...]) -> tuple[Part, list[HistoryRow]]:
    """Random weights of ``architecture``, fitted to the warm-up records (without their validation part)."""
    weights = env.workbench.initial(architecture, (env.root, key))
    whole = env.division.warmup
    records = env.records(whole[: trained_part(len(whole), env.settings.data.validation)])
    if not len(records):
        return weights, []
    learner = env.workbench.learner(architecture, weights)
    passes = env.settings.training.warmup_epochs
    epochs = fitted(learner, records, passes, env, (*key, "warmup"), "warm-up", SERVER_ID, 0)
    return learner.weights(), rows(epochs, 0, SERVER_ID, "warmup")


def load(env: Environment, state: FederationState, client: int) -> Learner:
    """A learner with a client's weights, and its moments where the optimiser persists."""
    moments = state.parts[moments_part(client)] if env.settings.training.optimizer_state == "persistent" else None
    return env.workbench.learner(env.architecture(client), state.parts[model_part(client)], moments)


def store(env: Environment, client: int, learner: Learner) -> dict[str, Part]:
    """The parts of a client after training."""
    keep = env.settings.training.optimizer_state == "persistent"
    return {model_part(client): learner.weights(), moments_part(client): learner.moments() if keep else {}}


def private_phase(
    state: FederationState, round: int, env: Environment, loss: Loss = label_loss, clients: Sequence[int] | None = None
) -> RoundOutcome:
    """Each participant fits its private fold of the round."""
    parts: dict[str, Part] = {}
    history: list[HistoryRow] = []
    for client in env.participants(round) if clients is None else clients:
        learner = load(env, state, client)
        epochs = fit_private(learner, env, client, round, loss)
        history += rows(epochs, round, client, "private")
        parts |= store(env, client, learner)
    return RoundOutcome(state.having(parts), history)


def fit_private(learner: Learner, env: Environment, client: int, round: int, loss: Loss = label_loss) -> list[Epoch]:
    """Fit a client's private records of a round: plainly, or as a defense on training says.

    Under a private fit the loss of a record may depend on nothing but that record, public data and models that are
    differentially private themselves; a teacher trained plainly on the same records breaks the sensitivity.
    """
    records, epochs = env.private(client, round), env.settings.training.local_epochs
    name = ("client", client, "round", round, "private")
    if env.private_fit is None:
        training = env.settings.training
        patience, held_out = training.early_stopping, env.validation(client, round)
        stopping = Stopping(held_out, patience) if patience is not None and len(held_out) else None
        how: dict[str, Any] = {"steps": training.local_steps, "augment": True, "stopping": stopping}
        return fitted(learner, records, epochs, env, name, "private phase", client, round, loss, **how)
    private_fit = env.private_fit

    def fit() -> list[Epoch]:
        try:
            return private_fit(learner, records, epochs, (env.root, name), loss, env.nominal(client, round))
        except Diverged as error:
            raise Diverged(f"training diverged: {client_name(client)}, round {round}, private phase: {error}") from None

    return env.played(client, name, [learner], fit)


def public_label_phase(
    state: FederationState,
    round: int,
    env: Environment,
    epochs: int,
    persistent: bool = False,
    clients: Sequence[int] | None = None,
) -> RoundOutcome:
    """Each participant (or each of ``clients``) fits the labelled public fold by cross-entropy alone."""
    fold = env.records(env.public_ids(round))
    parts: dict[str, Part] = {}
    history: list[HistoryRow] = []
    for client in env.participants(round) if clients is None else clients:
        learner = load(env, state, client)
        passes = fit_public(learner, fold, epochs, env, client, round, label_loss, persistent)
        history += rows(passes, round, client, "public")
        parts |= store_public(env, state, client, learner, persistent)
    return RoundOutcome(state.having(parts), history)


def fit_public(
    learner: Learner,
    fold: Records,
    epochs: int,
    env: Environment,
    client: int,
    round: int,
    loss: Loss,
    persistent: bool = False,
) -> list[Epoch]:
    """Fit a public fold in fixed order and nearly equal batches, with a new optimiser unless ``persistent``."""
    if not persistent:
        learner.renew_optimizer()
    name = ("client", client, "round", round, "public")
    return fitted(learner, fold, epochs, env, name, "public phase", client, round, loss, shuffle=False, even=True)


def store_public(
    env: Environment, state: FederationState, client: int, learner: Learner, persistent: bool
) -> dict[str, Part]:
    """Parts after a public phase: a fresh public optimiser leaves the private moments as they were."""
    parts = store(env, client, learner)
    if not persistent:
        parts[moments_part(client)] = state.parts[moments_part(client)]
    return parts


def fitted(
    learner: Learner,
    records: Records,
    epochs: int,
    env: Environment,
    name: tuple[str | int, ...],
    what: str,
    client: int,
    round: int,
    loss: Loss = label_loss,
    *,
    shuffle: bool = True,
    even: bool = False,
    batch_size: int | None = None,
    steps: int | None = None,
    augment: bool = False,
    stopping: Stopping | None = None,
) -> list[Epoch]:
    """:meth:`Learner.fit`, with a divergence told by client and round."""

    def fit() -> list[Epoch]:
        how: dict[str, Any] = {"shuffle": shuffle, "even": even, "batch_size": batch_size, "steps": steps}
        how |= {"augment": augment, "stopping": stopping}
        try:
            return learner.fit(records, epochs, (env.root, name), loss, **how)
        except Diverged as error:
            who = "the server" if client == SERVER_ID else client_name(client)
            raise Diverged(f"training diverged: {who}, round {round}, {what}: {error}") from None

    return env.played(client, name, [learner], fit)


def rows(epochs: Sequence[Epoch], round: int, client: int, phase: str) -> list[HistoryRow]:
    """History rows of a fit."""
    return [HistoryRow(round, client, phase, i + 1, e.loss, e.accuracy) for i, e in enumerate(epochs)]


def look(logits: Tensor, labels: Tensor, round: int, client: int) -> HistoryRow:
    """One look at a fold before training on it: test-then-train."""
    accuracy = float((predicted_class(logits) == labels).double().mean())
    return HistoryRow(round, client, "look", 1, float(cross_entropy(logits, labels)), accuracy)


def public_fold(env: Environment, round: int, labelled: bool, to_clients: bool = True) -> PublicFold:
    """The delivery of a round's public fold to the participants, with its size as stored.

    A static fold is delivered once, in round 1; planted records always are.
    """
    ids = env.public_ids(round)
    known = env.settings.data.public_set == "static" and round > 1 and round not in env.planted
    size = 0 if known else env.dataset.x_train[ids].nbytes + (len(ids) if labelled else 0)
    return PublicFold(round, ids, labelled, int(size), len(env.participants(round)) if to_clients else 0)


def own_models(state: FederationState, env: Environment) -> Mapping[str, tuple[str, Part]]:
    """Each client's own model, for testing."""
    return {
        client_name(client): (env.architecture(client), state.parts[model_part(client)])
        for client in range(env.clients)
    }


def unprotected(client: int, round: int, release: str) -> PrivacyEvent:
    """The event of a release without noise."""
    return PrivacyEvent(client, round, release, NoNoise())


def as_labels(records: Records) -> Tensor:
    """Labels as a tensor."""
    return torch.from_numpy(records.y)
