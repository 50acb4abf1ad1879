"""Several models trained together on the same batches: both forward passes first, then all steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.training.learner import Diverged, Epoch, Learner, Records, Seed, normalised
from fedprivacy.training.losses import predicted_class
from fedprivacy.training.passes import passes

Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(input [B, ...], labels [B], positions of the batch in the records [B]) -> (scalar to descend, logits [B, C] whose
accuracy is measured). Where a target is detached, one backward pass of a sum is that of its terms."""


def fit_together(
    learners: Sequence[Learner], records: Records, epochs: int, seed: Seed, step: Step, steps: int | None = None
) -> list[Epoch]:
    """Train all ``learners`` by ``step`` for ``epochs`` passes in a new order each, and return what each measured.

    Exactly ``steps`` steps where that is given.

    Raises :class:`Diverged` on a loss that is not finite, and ValueError for guarded records. No records: no steps.
    """
    if records.guarded:
        raise ValueError("these records are under differentially private training: models cannot be trained together")
    if not len(records):
        return []
    device = learners[0].device
    x, y = torch.from_numpy(records.x).to(device), torch.from_numpy(records.y).to(device)
    for learner in learners:
        learner.module.train()
    report = []
    with seeds.torch_scope(seed[0], *seed[1], "dropout"):
        for rows, parts in passes(len(records), learners[0].config.batch_size, epochs, seed, steps):
            order = rows.to(device)
            report.append(_epoch(learners, x, y, [order[part] for part in parts], step))
    return report


def _epoch(learners: Sequence[Learner], x: Tensor, y: Tensor, parts: Sequence[Tensor], step: Step) -> Epoch:
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    right = torch.zeros((), dtype=torch.int64, device=x.device)
    for rows in parts:
        labels = y[rows]
        value, logits = step(normalised(x[rows]), labels, rows)
        for learner in learners:
            learner.optimizer.zero_grad(set_to_none=True)
        value.backward()
        for learner in learners:
            learner.optimizer.step()
        total += value.detach() * len(rows)
        right += (predicted_class(logits.detach()) == labels).sum()
    seen = sum(map(len, parts))
    mean = float(total) / seen
    if not np.isfinite(mean):
        raise Diverged(f"the loss became {mean}")
    return Epoch(mean, float(right) / seen)
