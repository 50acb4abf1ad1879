"""Surrogate models distilled from shared predictions: what an honest-but-curious receiver can do.

For each client, collect (public record, prediction) over all rounds and distil a model of the known architecture:
``KL(victim || surrogate)`` at temperature 1, Adam, fresh weights from one seed for all. Query it on the candidates.
Candidates never stand in the distillation set. (Jagielski et al. 2023, arXiv 2303.03446, for the idea that a student
carries its teacher's membership signal.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedprivacy.attacks.membership.decode import decode
from fedprivacy.attacks.membership.received import Answer, answers
from fedprivacy.interfaces import Knowledge, Observed
from fedprivacy.threat import Float, View
from fedprivacy.training.learner import Loss, Records, Workbench
from fedprivacy.training.losses import kl_divergence, log_probabilities

BATCH = 64


@dataclass(frozen=True)
class Surrogate:
    """One surrogate a client; the rounds axis has length 1."""

    name: ClassVar[str] = "distilled surrogate"

    def observe(self, view: View, knowledge: Knowledge) -> Observed:
        told: dict[int, list[Answer]] = {}
        for answer in answers(view):
            told.setdefault(answer.client, []).append(answer)
        ids = np.concatenate([knowledge.candidates, knowledge.auxiliary])
        known = set(ids.tolist())
        classes, clients = len(knowledge.dataset.classes), knowledge.config.clients
        logp = np.full((clients, 1, len(ids), classes), np.nan)
        floor: dict[str, int] = {}
        size = 0
        for client, given in told.items():
            x, targets, clamped = _collected(given, knowledge, known)
            for name, count in clamped.items():
                floor[name] = floor.get(name, 0) + count
            size = max(size, len(x))
            logp[client, 0] = distilled(x, targets, knowledge, ids)
        n = len(knowledge.candidates)
        seen = ~np.isnan(logp).any(axis=(0, 3)) if told else np.zeros((1, len(ids)), dtype=bool)
        return Observed(
            logp[:, :, :n],
            seen[:, :n],
            np.ones((1, n), dtype=bool),
            logp[:, :, n:] if len(knowledge.auxiliary) else None,
            floor,
            (f"surrogates distilled from {size} predictions a client, no candidate among them",),
        )


def distilled(x: np.ndarray, targets: Float, knowledge: Knowledge, queries: np.ndarray) -> Float:
    """Log-probabilities [len(queries), C] of a surrogate distilled onto ``targets`` [N, C] (log-probabilities)."""
    attack = knowledge.config.attack
    training = knowledge.config.training.model_copy(
        update={"optimizer": "adam", "lr": attack.surrogate_lr, "batch_size": BATCH, "weight_decay": 0.0}
    )
    bench: Workbench = knowledge.workbench.with_training(training)
    weights = bench.initial(training.model, (knowledge.root, ("surrogate",)))
    learner = bench.learner(training.model, weights)
    labels = np.zeros(len(x), dtype=np.int64)
    learner.fit(
        Records(x, labels), attack.surrogate_epochs, (knowledge.root, ("surrogate", "fit")), _distillation(targets)
    )
    logits = learner.logits(knowledge.dataset.x_train[queries])
    return decode(logits.numpy(), "logits", classes=targets.shape[1])[0]


def _distillation(targets: Float) -> Loss:
    log_q = torch.from_numpy(targets).to(torch.float32)

    def loss(logits: Tensor, _: Tensor, rows: Tensor) -> Tensor:
        return kl_divergence(log_q.to(logits.device)[rows], log_probabilities(logits))

    return loss


def _collected(
    given: Sequence[Answer], knowledge: Knowledge, known: set[int]
) -> tuple[np.ndarray, Float, dict[str, int]]:
    """Public records and one client's log-probabilities on them, candidates and auxiliary records left out."""
    xs, targets = [], []
    floor: dict[str, int] = {}
    for answer in given:
        rows = [i for i, record in enumerate(answer.records.tolist()) if record not in known]
        ids = answer.records[rows]
        decoded, clamped = decode(
            answer.payload.values.numpy()[rows],
            answer.payload.form,
            classes=len(knowledge.dataset.classes),
            labels=knowledge.dataset.y_train[ids],
        )
        xs.append(knowledge.dataset.x_train[ids])
        targets.append(decoded)
        for name, count in clamped.items():
            floor[name] = floor.get(name, 0) + count
    return np.concatenate(xs), np.concatenate(targets), floor
