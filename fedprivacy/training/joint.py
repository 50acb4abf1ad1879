"""Several models trained together on the same batches: both forward passes first, then all steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.training.augmentation import augmented
from fedprivacy.training.learner import Epoch, Learner, Records, Seed, normalised, passed, slopes
from fedprivacy.training.passes import passes

Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(input [B, ...], labels [B], positions of the batch in the records [B]) -> (scalar to descend, logits [B, C] whose
accuracy is measured). Where a target is detached, one backward pass of a sum is that of its terms."""


def fit_together(
    learners: Sequence[Learner], records: Records, epochs: int, seed: Seed, step: Step, steps: int | None = None
) -> list[Epoch]:
    """Train all ``learners`` by ``step`` for ``epochs`` passes in a new order each, and return what each measured.

    Exactly ``steps`` steps where that is given.

    Each batch is augmented as the settings of the first say. Raises :class:`~fedprivacy.training.learner.Diverged` on a
    loss that is not finite, UsageError for early stopping, which watches one model, and ValueError for guarded records.
    No records: no steps.
    """
    config = learners[0].config
    if config.early_stopping is not None:
        raise UsageError(
            "early_stopping: this protocol trains two models of a client together, and one validation loss cannot stop "
            "both; leave it out, or choose another protocol."
        )
    if records.guarded:
        raise ValueError("these records are under differentially private training: models cannot be trained together")
    if not len(records):
        return []
    device = learners[0].device
    x, y = torch.from_numpy(records.x).to(device), torch.from_numpy(records.y).to(device)
    for learner in learners:
        learner.module.train()
    report = []
    draw = seeds.generator(seed[0], *seed[1], "augmentation")

    def looked_at(inputs: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return step(augmented(inputs, config.augmentation, draw), labels, rows)

    with seeds.torch_scope(seed[0], *seed[1], "dropout"):
        for rows, parts in passes(len(records), config.batch_size, epochs, seed, steps):
            order = rows.to(device)
            report.append(_epoch(learners, x, y, [order[part] for part in parts], looked_at))
    return report


def _epoch(learners: Sequence[Learner], x: Tensor, y: Tensor, parts: Sequence[Tensor], step: Step) -> Epoch:
    parameters = [parameter for learner in learners for parameter in learner.optimizer.parameters]
    values: list[Tensor] = []
    answers: list[Tensor] = []
    for rows in parts:
        value, logits = step(normalised(x[rows]), y[rows], rows)
        gradients = iter(slopes(value, parameters))
        for learner in learners:
            learner.optimizer.apply(list(islice(gradients, len(learner.optimizer.parameters))))
        values.append(value.detach())
        answers.append(logits.detach())
    return passed(values, answers, y[torch.cat(list(parts))], list(map(len, parts)))
