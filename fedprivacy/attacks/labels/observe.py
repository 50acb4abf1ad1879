"""From what an adversary received to an estimated label distribution of each client. No coin and no label is in here.

Predictions are taken as they came, over all rounds. Received models are queried on one half of the adversary's own
records; the other half trains the balanced reference. Prototypes tell which classes a client holds at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedprivacy import seeds
from fedprivacy.adversary.labels import Source
from fedprivacy.adversary.threat import Float, View
from fedprivacy.attacks.labels import estimators
from fedprivacy.attacks.membership.decode import HARD_LABEL, UNIFORM_REST, decode, decode_sent
from fedprivacy.attacks.membership.models_on_wire import uploaded_models, uploads
from fedprivacy.attacks.membership.observations.prototypes import received_prototypes
from fedprivacy.attacks.membership.received import answers
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Part
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.training.learner import Records
from fedprivacy.wire.parties import client_index

HEADLINE, BIAS, CHANGE = "mean_softmax", "bias", "head change"
EPOCHS, BATCH, LR = 20, 32, 1e-3
"""Training of the balanced reference (Adam)."""


@dataclass(frozen=True, eq=False)
class LabelEstimates:
    """Shares [clients, C] by estimator, NaN for clients that nothing is known of; ``prior`` [C]: a guess without any.

    ``observation`` names what was read, ``notes`` what the findings must carry.
    """

    shares: Mapping[str, Float]
    prior: Float
    observation: str
    notes: tuple[str, ...] = ()


def observe_labels(view: View, knowledge: Knowledge, source: Source) -> LabelEstimates:
    """Every estimate that ``source`` allows. Raises ValueError where it allows none."""
    me = client_index(view.position) if view.position.startswith("client-") else None
    return _READERS[source](view, knowledge, me)


def _from_predictions(view: View, knowledge: Knowledge, me: int | None) -> LabelEstimates:
    classes, data = len(knowledge.dataset.classes), knowledge.dataset
    told: dict[int, list[Float]] = {}
    asked: dict[int, list[Ids]] = {}
    hard = False
    for answer in answers(view):
        if answer.client == me:
            continue
        rows = np.arange(len(answer.records))
        labels = data.y_train[answer.records]
        values, form = answer.payload.values.numpy(), answer.payload.form
        logp, floor = decode_sent(values, form, rows, labels=labels, classes=classes)
        if UNIFORM_REST in floor:
            raise ValueError("losses on labelled records tell no distribution over classes")
        hard = hard or HARD_LABEL in floor
        told.setdefault(answer.client, []).append(logp)
        asked.setdefault(answer.client, []).append(answer.records)
    if not told:
        raise ValueError("no client's predictions are in sight")
    used = np.unique(np.concatenate([ids for given in asked.values() for ids in given]))
    prior = _histogram(knowledge, used)
    queried = {client: np.concatenate(given) for client, given in told.items()}
    found = {"argmax_hist": _table(knowledge, queried, estimators.argmax_hist)}
    notes: tuple[str, ...] = ("only predicted classes were sent",)
    if not hard:
        found = {HEADLINE: _table(knowledge, queried, estimators.mean_softmax), **found}
        reference = _balanced_reference(knowledge, knowledge.auxiliary)
        notes = _about(reference)
        if reference is not None:
            theirs = {client: _logp(knowledge, *reference, np.concatenate(ids)) for client, ids in asked.items()}
            found["log_ratio"] = _by_client(
                knowledge, {c: estimators.log_ratio(queried[c], theirs[c]) for c in queried}
            )
    return LabelEstimates(found, prior, "shared predictions", notes)


def _from_models(view: View, knowledge: Knowledge, me: int | None) -> LabelEstimates:
    order = seeds.numpy_generator(knowledge.root, "labels", "halves").permutation(len(knowledge.auxiliary))
    halves = np.array_split(knowledge.auxiliary[order], 2)
    if min(map(len, halves)) == 0:
        raise ValueError("models are queried on the adversary's own records; raise data.auxiliary")
    train, query = halves
    told, notes = view.transcripts[0], list[str]()
    queried: dict[int, list[Float]] = {}
    for model in uploaded_models(told, False, knowledge.start):
        name = knowledge.wire.travelling(model.holder)
        if model.client != me and set(model.weights) == set(knowledge.workbench.module(name).state_dict()):
            queried.setdefault(model.client, []).append(_logp(knowledge, name, model.weights, query))
    if not queried:
        return _from_change(view, knowledge, me)
    joined = {client: np.concatenate(given) for client, given in queried.items()}
    found = {
        HEADLINE: _table(knowledge, joined, estimators.mean_softmax),
        "argmax_hist": _table(knowledge, joined, estimators.argmax_hist),
    }
    reference = _balanced_reference(knowledge, train)
    if reference is not None:
        theirs = _logp(knowledge, *reference, query)
        rounds = {client: len(given) for client, given in queried.items()}
        found["log_ratio"] = _by_client(
            knowledge, {c: estimators.log_ratio(joined[c], np.tile(theirs, (rounds[c], 1))) for c in joined}
        )
    training = knowledge.settings.training
    sent = knowledge.wire.model
    known = sent is not None and sent.reference == "received" and (sent.loss != "more" or sent.steps_known)
    if training.optimizer == "sgd" and not training.weight_decay and known:
        found[BIAS] = _by_client(knowledge, dict(_from_bias(view, knowledge, me, query)))
        notes.append("bias: change of the last layer over learning rate and expected number of steps")
    prior = _histogram(knowledge, knowledge.auxiliary)
    return LabelEstimates(found, prior, "received models", (*_about(reference), *notes))


def _from_bias(view: View, knowledge: Knowledge, me: int | None, query: Ids) -> Iterator[tuple[int, Float]]:
    """Mean estimate over the rounds of each client whose model is known before and after local training."""
    settings, training = knowledge.settings, knowledge.settings.training
    found: dict[int, list[Float]] = {}
    labels = knowledge.dataset.y_train[query]
    for _, client, before, after in uploads(view.transcripts[0], knowledge.start):
        name = knowledge.wire.travelling(client)
        state = knowledge.workbench.module(name).state_dict()
        last = _last_bias(state, len(knowledge.dataset.classes))
        if client == me or set(before) != set(state) or set(after) != set(state) or last is None:
            continue
        pool = len(knowledge.candidates) / settings.clients * settings.data.inclusion
        steps = training.local_steps or training.local_epochs * max(1.0, np.ceil(pool / training.batch_size))
        rate = training.lr / (1 - training.momentum)
        gradient = (before[last] - after[last]).double().numpy() / (rate * steps)
        sides = [estimators.class_means(_logp(knowledge, name, w, query), labels) for w in (before, after)]
        found.setdefault(client, []).append(estimators.from_bias(gradient, np.mean(sides, axis=0)))
    for client, given in found.items():
        yield client, np.mean(given, axis=0)


def _from_change(view: View, knowledge: Knowledge, me: int | None) -> LabelEstimates:
    """From models of an unknown architecture: what training did to the one tensor that has a number for each class."""
    found: dict[int, list[Float]] = {}
    classes = len(knowledge.dataset.classes)
    for _, client, before, after in uploads(view.transcripts[0], knowledge.start):
        heads = [name for name, tensor in after.items() if tensor.shape == (classes,) and name in before]
        if client != me and len(heads) == 1 and after[heads[0]].is_floating_point():
            found.setdefault(client, []).append((after[heads[0]] - before[heads[0]]).double().numpy())
    if len(found) < 2:
        raise ValueError(
            "no client's whole model is in sight, and no two clients' change of one bias of the last layer"
        )
    prior = _histogram(knowledge, knowledge.auxiliary)
    clients = list(found)
    counts = prior * len(knowledge.auxiliary)
    smooth = (counts + 1) / (counts.sum() + classes)
    shares = estimators.from_change(np.stack([np.mean(found[client], axis=0) for client in clients]), smooth)
    note = (
        "the architecture is not known; the change of the last layer's bias, told apart from that of the others as if "
        "all took equally many steps"
    )
    by_client = _by_client(knowledge, dict(zip(clients, shares, strict=True)))
    return LabelEstimates({CHANGE: by_client}, prior, "received models", (note,))


def _last_bias(state: Part, classes: int) -> str | None:
    """Name of the bias of the last layer, one number a class; None where a model has none."""
    names = [name for name, tensor in state.items() if name.endswith("bias") and tensor.shape == (classes,)]
    return names[-1] if names and classes > 1 else None


def _from_prototypes(view: View, knowledge: Knowledge, me: int | None) -> LabelEstimates:
    """Equal shares of the classes that were sent; the counts themselves where they travel."""
    classes = len(knowledge.dataset.classes)
    found: dict[int, Float] = {}
    for _, client, held in received_prototypes(view.transcripts[0]):
        if client in (me, -1) or not len(held.classes):
            continue
        weights = held.counts.double().numpy() if len(held.counts) else np.ones(len(held.classes))
        shares = np.zeros(classes)
        shares[held.classes.long().numpy()] = weights
        found[client] = shares / shares.sum()
    if not found:
        raise ValueError("no client's prototypes are in sight")
    prior = _histogram(knowledge, knowledge.auxiliary)
    return LabelEstimates({"classes sent": _by_client(knowledge, found)}, prior, "class prototypes")


Reader = Callable[[View, Knowledge, int | None], LabelEstimates]
_READERS: dict[Source, Reader] = {
    "predictions": _from_predictions,
    "models": _from_models,
    "prototypes": _from_prototypes,
}


def _balanced_reference(knowledge: Knowledge, ids: Ids) -> tuple[str, Part] | None:
    """A model of the known architecture trained on equally many of the adversary's records of each class."""
    labels, classes = knowledge.dataset.y_train[ids], len(knowledge.dataset.classes)
    each = int(np.bincount(labels, minlength=classes).min()) if len(ids) else 0
    if each == 0:
        return None
    chosen = np.concatenate([ids[np.flatnonzero(labels == c)[:each]] for c in range(classes)])
    name = knowledge.settings.training.model
    training = knowledge.settings.training.model_copy(
        update={"optimizer": "adam", "lr": LR, "batch_size": BATCH, "weight_decay": 0.0}
    )
    bench = knowledge.workbench.with_training(training)
    learner = bench.learner(name, bench.initial(name, (knowledge.root, ("label reference",))))
    records = Records(knowledge.dataset.x_train[chosen], knowledge.dataset.y_train[chosen])
    learner.fit(records, EPOCHS, (knowledge.root, ("label reference", "fit")))
    return name, learner.weights()


def _logp(knowledge: Knowledge, name: str, weights: Part, ids: Ids) -> Float:
    logits = knowledge.workbench.logits(name, weights, knowledge.dataset.x_train[ids])
    return decode(logits.to(torch.float32).numpy(), "logits", classes=len(knowledge.dataset.classes))[0]


def _table(knowledge: Knowledge, queried: Mapping[int, Float], estimate: Callable[[Float], Float]) -> Float:
    return _by_client(knowledge, {client: estimate(logp) for client, logp in queried.items()})


def _by_client(knowledge: Knowledge, found: Mapping[int, Float]) -> NDArray[np.float64]:
    shares = np.full((knowledge.settings.clients, len(knowledge.dataset.classes)), np.nan)
    for client, values in found.items():
        shares[client] = values
    return shares


def _histogram(knowledge: Knowledge, ids: Ids) -> Float:
    """Class shares [C] of some records; equal shares where there are none."""
    classes = len(knowledge.dataset.classes)
    if not len(ids):
        return np.full(classes, 1 / classes)
    return np.asarray(np.bincount(knowledge.dataset.y_train[ids], minlength=classes) / len(ids), dtype=np.float64)


def _about(reference: tuple[str, Part] | None) -> tuple[str, ...]:
    return () if reference is not None else ("no balanced reference: it needs auxiliary records of every class",)
