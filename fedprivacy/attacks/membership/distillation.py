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

from fedprivacy.attacks.membership.decode import decode, decode_sent
from fedprivacy.attacks.membership.received import Answer
from fedprivacy.data.records import Ids
from fedprivacy.interfaces import Knowledge
from fedprivacy.threat import Float
from fedprivacy.training.learner import Loss, Records, Workbench
from fedprivacy.training.losses import kl_divergence, log_probabilities

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
    x: NDArray[Any], targets: Float, knowledge: Knowledge, queries: Ids, client: int = 0, name: str = "surrogate"
) -> Float:
    """Log-probabilities [len(queries), C] of a surrogate distilled onto ``targets`` [N, C] (log-probabilities).

    Its architecture is that of ``client``; all surrogates of one ``name`` start from the same weights.
    """
    attack, training = knowledge.config.attack, knowledge.config.training
    models = training.client_models or (training.model,)
    model = models[client % len(models)]
    training = training.model_copy(
        update={"optimizer": "adam", "lr": attack.surrogate_lr, "batch_size": BATCH, "weight_decay": 0.0}
    )
    bench: Workbench = knowledge.workbench.with_training(training)
    learner = bench.learner(model, bench.initial(model, (knowledge.root, (name,))))
    labels = np.zeros(len(x), dtype=np.int64)
    learner.fit(Records(x, labels), attack.surrogate_epochs, (knowledge.root, (name, "fit")), _distillation(targets))
    logits = learner.logits(knowledge.dataset.x_train[queries])
    return decode(logits.numpy(), "logits", classes=targets.shape[1])[0]


def _distillation(targets: Float) -> Loss:
    log_q = torch.from_numpy(targets).to(torch.float32)

    def loss(logits: Tensor, _: Tensor, rows: Tensor) -> Tensor:
        return kl_divergence(log_q.to(logits.device)[rows], log_probabilities(logits))

    return loss
