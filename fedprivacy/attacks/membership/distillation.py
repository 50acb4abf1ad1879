"""Distilling received predictions into a model of one's own: ``KL(victim || surrogate)``, Adam, temperature 1.

Candidates and the adversary's own records never stand in the distillation set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.adversary.threat import Float
from fedprivacy.attacks.membership.decode import decode, decode_sent
from fedprivacy.attacks.membership.received import Answer
from fedprivacy.data.records import Ids
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.training.fleet import Member, train_fleet
from fedprivacy.training.learner import Records, Seed, Workbench
from fedprivacy.training.losses import log_probabilities, softmax

BATCH = 64


@dataclass(frozen=True, eq=False)
class DistillationSet:
    """Public records ``x`` [N, ...] and log-probabilities ``targets`` [N, C] to distil; ``floor`` counts clamps."""

    x: NDArray[Any]
    targets: Float
    floor: Mapping[str, int] = field(default_factory=dict)

    def part(self, rows: NDArray[np.int64]) -> DistillationSet:
        """Some of the records."""
        return DistillationSet(self.x[rows], self.targets[rows], self.floor)


def collected(given: Sequence[Answer], knowledge: Knowledge, known: set[int]) -> DistillationSet:
    """Public records and one source's log-probabilities on them; records in ``known`` are left out."""
    xs, targets = [], []
    floor: dict[str, int] = {}
    for answer in given:
        rows = np.array([i for i, r in enumerate(answer.records.tolist()) if r not in known], dtype=np.int64)
        if not len(rows):
            continue
        ids = answer.records[rows]
        values, labels = answer.payload.values.numpy(), knowledge.dataset.y_train[ids]
        decoded, clamped = decode_sent(
            values, answer.payload.form, rows, labels=labels, classes=len(knowledge.dataset.classes)
        )
        xs.append(knowledge.dataset.x_train[ids])
        targets.append(decoded)
        for name, count in clamped.items():
            floor[name] = floor.get(name, 0) + count
    if not xs:
        return DistillationSet(knowledge.dataset.x_train[:0], np.zeros((0, len(knowledge.dataset.classes))), floor)
    return DistillationSet(np.concatenate(xs), np.concatenate(targets), floor)


def distilled(
    sets: Mapping[int, DistillationSet], knowledge: Knowledge, queries: Ids, name: str = "surrogate"
) -> dict[int, Float]:
    """Client -> log-probabilities [len(queries), C] of a surrogate distilled onto that client's set.

    A surrogate has the architecture of its client; all of one ``name`` start from the same weights, and those of one
    architecture are trained as a fleet.
    """
    attack, training = knowledge.attack, knowledge.settings.training
    training = training.model_copy(
        update={"optimizer": "adam", "lr": attack.surrogate_lr, "batch_size": BATCH, "weight_decay": 0.0}
    )
    bench: Workbench = knowledge.workbench.with_training(training)
    by_model: dict[str, list[int]] = {}
    for client in sets:
        models = training.client_models or (training.model,)
        by_model.setdefault(models[client % len(models)], []).append(client)
    found: dict[int, Float] = {}
    for model, clients in by_model.items():
        start = bench.initial(model, (knowledge.root, (name,)))
        members = [_member(sets[client], start, (knowledge.root, (name, "fit"))) for client in clients]
        trained = train_fleet(bench, model, members, attack.surrogate_epochs, Divergence())
        for client, weights in zip(clients, trained, strict=True):
            logits = bench.logits(model, weights, knowledge.dataset.x_train[queries])
            found[client] = decode(logits.numpy(), "logits", classes=sets[client].targets.shape[1])[0]
    return {client: found[client] for client in sets}


def _member(given: DistillationSet, start: Mapping[str, Tensor], seed: Seed) -> Member:
    unlabelled = Records(given.x, np.zeros(len(given.x), dtype=np.int64))
    return Member(start, unlabelled, seed, torch.from_numpy(given.targets).to(torch.float32))


@dataclass(frozen=True)
class Divergence:
    """``KL(victim || surrogate)``, mean over the records; targets are log-probabilities [B, C]."""

    def __call__(self, logits: Tensor, _: Tensor, log_q: Tensor, /) -> Tensor:
        # Written out, because torch's own has no batched form.
        return (log_q.exp() * (log_q - log_probabilities(logits))).sum(1).mean()

    def slopes(self, logits: Tensor, log_q: Tensor) -> Tensor:
        """Derivatives [M, B, C] of the losses of logits [M, B, C]."""
        q = log_q.exp()
        if logits.shape[2] == 1:
            slope = torch.sigmoid(logits).mul_(q.sum(2, keepdim=True)).sub_(q[..., 1:])
        else:
            slope = softmax(logits).mul_(q.sum(2, keepdim=True)).sub_(q)
        return slope.div_(logits.shape[1])
