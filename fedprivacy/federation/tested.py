"""How well the models of a federation do on test records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Environment, FederationState, Part
from fedprivacy.federation.interfaces import AnswersOtherwise, FederatedProtocol
from fedprivacy.metrics.roc import auc
from fedprivacy.training.learner import Diverged
from fedprivacy.training.losses import cross_entropy, log_probabilities, predicted_class
from fedprivacy.wire.parties import client_index


def scored(models: Mapping[str, tuple[str, Part]], env: Environment) -> dict[str, dict[str, float]]:
    """Accuracy and mean cross-entropy (nats) of each model on the test set.

    Where the clients' records are skewed also ``own_accuracy``: the test set weighted to the class frequencies of a
    client's private records; for a model that is not a client's, the mean over all clients.

    ``train_accuracy`` is that on all private records that a client trained on; for a model that is not a client's, the
    mean over all clients. What lies between the two is what a model learned by heart.

    For two classes also the recall of each (``recall_0``, ``recall_1``), the AUC, and ``tuned_accuracy``: at the
    threshold that is best on a client's validation records, where there are any; for a model that is not a client's,
    the mean over every client's threshold, so that it has no more records to tune on. It tells a better model from one
    that merely sits at a better threshold.
    """
    x, labels = env.dataset.x_test, torch.from_numpy(env.dataset.y_test)

    def whose(owner: str) -> Sequence[int]:
        return [client_index(owner)] if owner.startswith("client-") else range(env.clients)

    results = {}
    for owner, (architecture, weights) in models.items():
        logits = env.workbench.logits(architecture, weights, x)
        right = predicted_class(logits) == labels
        results[owner] = {
            "accuracy": float(right.double().mean()),
            "loss": _mean_loss(logits.double(), labels),
        }
        if not math.isfinite(results[owner]["loss"]):
            raise Diverged(f"training diverged: the loss of {owner} on the test set is {results[owner]['loss']}")
        learned = [_right(env, architecture, weights, np.concatenate(env.members[client])) for client in whose(owner)]
        if known_shares := [share for share in learned if share is not None]:
            results[owner]["train_accuracy"] = float(np.mean(known_shares))
        if env.settings.data.partition != "iid":
            own = [
                own_accuracy(right.numpy(), env.dataset.y_test, _private_labels(env, client)) for client in whose(owner)
            ]
            results[owner]["own_accuracy"] = float(np.mean(own))
        if len(env.dataset.classes) == 2:
            for label in (0, 1):
                results[owner][f"recall_{label}"] = float(right[labels == label].double().mean())
            score = margin(logits)
            results[owner]["auc"] = auc(score[env.dataset.y_test == 1], score[env.dataset.y_test == 0])
            tuned = []
            for client in whose(owner):
                held_out = env.records(np.concatenate(env.division.validation[client]))
                if len(held_out):
                    known = margin(env.workbench.logits(architecture, weights, held_out.x))
                    threshold = best_threshold(known, held_out.y == 1)
                    tuned.append(((score > threshold) == (env.dataset.y_test == 1)).mean())
            if tuned:
                results[owner]["tuned_accuracy"] = float(np.mean(tuned))
    return results


def _right(env: Environment, architecture: str, weights: Part, ids: Ids) -> float | None:
    """Share of right answers on training records; None of none."""
    records = env.records(ids)
    if not len(records):
        return None
    guessed = predicted_class(env.workbench.logits(architecture, weights, records.x))
    return float((guessed == torch.from_numpy(records.y)).double().mean())


def scored_otherwise(
    protocol: FederatedProtocol, state: FederationState, env: Environment
) -> dict[str, dict[str, float]]:
    """Test accuracy of every owner that also answers in another way; empty where there is none or not from all."""
    if not isinstance(protocol, AnswersOtherwise):
        return {}
    labels = torch.from_numpy(env.dataset.y_test)
    answers = protocol.answers(state, env, env.dataset.x_test)
    if answers.keys() != protocol.models(state, env).keys():
        return {}
    name = f"{protocol.answers_by}_accuracy"
    return {owner: {name: float((s.argmax(dim=1) == labels).double().mean())} for owner, s in answers.items()}


def _mean_loss(logits: Tensor, labels: Tensor) -> float:
    """Cross-entropy over the records [N] whose class the model has an output for."""
    if logits.shape[1] > 1:
        known = ~torch.isneginf(logits.gather(1, labels[:, None])[:, 0])
        logits, labels = logits[known], labels[known]
    return float(cross_entropy(logits, labels))


def own_accuracy(right: Bool, tested: Ids, private: Ids) -> float:
    """Share of right answers on test records [N] of classes ``tested``, weighted to the frequencies of ``private`` [n].

    Classes that the test set lacks are left out; without any in common it is the plain share.
    """
    classes, counts = np.unique(private[np.isin(private, tested)], return_counts=True)
    if not len(classes):
        return float(right.mean())
    return float(np.average([right[tested == label].mean() for label in classes], weights=counts))


def _private_labels(env: Environment, client: int) -> Ids:
    """The classes of all records that a client trains on, whatever the round."""
    return env.dataset.y_train[np.concatenate(env.members[client])]


def margin(logits: Tensor) -> Float:
    """Log-odds [N] of the second of two classes, from logits [N, 1] or [N, 2]."""
    pairs = log_probabilities(logits.double())
    return np.asarray((pairs[:, 1] - pairs[:, 0]).numpy())


def best_threshold(scores: Float, positive: Bool) -> float:
    """The cut between two neighbouring scores [n] with the most right answers; the one nearest 0 among equals."""
    order = np.sort(np.unique(scores))
    cuts = np.concatenate([[order[0] - 1.0], (order[:-1] + order[1:]) / 2, [order[-1] + 1.0, 0.0]])
    right = ((scores[None, :] > cuts[:, None]) == positive[None, :]).sum(axis=1)
    best = cuts[right == right.max()]
    return float(best[np.abs(best).argmin()])
