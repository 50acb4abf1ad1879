"""A copy of each client's model, distilled from the answers of all rounds, the newest counting most.

In every round a client answers for the model that it has then, so old answers are many and stale, new ones few and
right. The loss of an answer that is a rounds old is ``RECENCY^a KL(client || copy)`` at temperature 1, over the mean
weight. That all answers count by their age is the idea of the adaptive model-stealing attack on logit-based
federations (arXiv 2606.08252); the weights here are ours. Copies start from a model of the known architecture that the
adversary trained on labelled records of its own: whoever steals starts from what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedprivacy.adversary.threat import Float
from fedprivacy.attacks.membership.decode import decode
from fedprivacy.attacks.membership.distillation import BATCH, DistillationSet, collected
from fedprivacy.attacks.membership.received import Answer
from fedprivacy.data.raw import Array
from fedprivacy.data.records import Ids
from fedprivacy.federation.environment import Part
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.training.fleet import Member, train_fleet
from fedprivacy.training.learner import Records, Workbench, label_loss
from fedprivacy.training.losses import log_probabilities

RECENCY = 0.8
"""Weight of an answer beside that of one a round later."""

PASSES = 30
"""Passes of a copy over the answers, or ``attack.surrogate_epochs`` where that is less."""

EPOCHS, SIZE, LR = 20, 32, 1e-3
"""Training (Adam) of the model that sees no message."""

Starts = Mapping[str, Part]
"""Weights by architecture of the models that saw no message."""


@dataclass(frozen=True, eq=False)
class Aged:
    """Public records ``x`` [N, ...], a client's log-probabilities ``targets`` [N, C], and each answer's weight [N]."""

    x: Array
    targets: Float
    weights: Float


def aged(given: Sequence[Answer], knowledge: Knowledge, now: int) -> Aged:
    """The answers of one client up to round ``now``, weighted by their age; the mean weight is 1."""
    parts: list[DistillationSet] = []
    weights: list[Float] = []
    for answer in given:
        if answer.round <= now:
            parts.append(collected([answer], knowledge, set()))
            weights.append(np.full(len(parts[-1].x), RECENCY ** (now - answer.round)))
    if not parts:
        raise ValueError(f"no answer of a client is in sight up to round {now}")
    each = np.concatenate(weights)
    x, targets = np.concatenate([one.x for one in parts]), np.concatenate([one.targets for one in parts])
    return Aged(x, targets, each / each.mean())


def copied(
    sets: Mapping[int, Aged], starts: Starts, knowledge: Knowledge, queries: Array, name: str
) -> dict[int, Float]:
    """Client -> log-probabilities [len(queries), C] of its copy, trained from the start of its architecture."""
    attack, training = knowledge.attack, knowledge.settings.training
    changes = {"optimizer": "adam", "lr": attack.surrogate_lr, "batch_size": BATCH, "weight_decay": 0.0}
    bench: Workbench = knowledge.workbench.with_training(training.model_copy(update=changes))
    by_model: dict[str, list[int]] = {}
    for client in sets:
        by_model.setdefault(knowledge.wire.federation.architecture(client), []).append(client)
    found: dict[int, Float] = {}
    for model, clients in by_model.items():
        members = [_member(sets[client], starts[model], knowledge.root, name) for client in clients]
        trained = train_fleet(bench, model, members, min(PASSES, attack.surrogate_epochs), _divergence)
        for client, weights in zip(clients, trained, strict=True):
            found[client] = _logp(bench, model, weights, queries, knowledge)
    return found


def unaided(knowledge: Knowledge, labelled: Ids) -> dict[str, Part]:
    """Weights by architecture of models that saw no message.

    They are trained on the adversary's own records and on ``labelled`` public ones: all that it would have anyway.
    """
    training, root = knowledge.settings.training, knowledge.root
    changes = {"optimizer": "adam", "lr": LR, "batch_size": SIZE, "weight_decay": 0.0}
    bench = knowledge.workbench.with_training(training.model_copy(update=changes))
    ids = np.unique(np.concatenate([knowledge.auxiliary, labelled]))
    if not len(ids):
        raise ValueError("a model that saw no message needs labelled records of the adversary's own: raise --auxiliary")
    records = Records(knowledge.dataset.x_train[ids], knowledge.dataset.y_train[ids])
    found: dict[str, Part] = {}
    for model in knowledge.wire.federation.architectures:
        learner = bench.learner(model, bench.initial(model, (root, ("theft", "unaided"))))
        learner.fit(records, EPOCHS, (root, ("theft", "unaided", "fit")), label_loss)
        found[model] = learner.weights()
    return found


def answered(starts: Starts, knowledge: Knowledge, queries: Array) -> Float:
    """Log-probabilities [clients, len(queries), C] of the unaided model of each client's architecture."""
    by_model = {model: _logp(knowledge.workbench, model, w, queries, knowledge) for model, w in starts.items()}
    federation = knowledge.wire.federation
    return np.stack([by_model[federation.architecture(client)] for client in range(federation.clients)])


def _member(given: Aged, start: Part, root: int, name: str) -> Member:
    unlabelled = Records(given.x, np.zeros(len(given.x), dtype=np.int64))
    told = torch.from_numpy(np.concatenate([given.targets, given.weights[:, None]], axis=1)).to(torch.float32)
    return Member(start, unlabelled, (root, ("theft", name, "fit")), told)


def _divergence(logits: Tensor, _: Tensor, told: Tensor) -> Tensor:
    """Mean of ``weight * KL(client || copy)``; ``told`` [B, C + 1]: log-probabilities, and the weight."""
    log_q, weights = told[:, :-1], told[:, -1]
    return (weights * (log_q.exp() * (log_q - log_probabilities(logits))).sum(1)).mean()


def _logp(bench: Workbench, model: str, weights: Part, queries: Array, knowledge: Knowledge) -> Float:
    return decode(bench.logits(model, weights, queries).numpy(), "logits", classes=len(knowledge.dataset.classes))[0]
