"""Ensemble distillation at a server: one student towards the mean of frozen teachers (Lin et al. 2020, 2006.07242)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.training.learner import Diverged, Learner, Records, Seed, normalised
from fedprivacy.training.losses import kl_divergence, log_probabilities, predicted_class


@dataclass(frozen=True)
class Fusion:
    """How long and how fast the student learns."""

    steps: int
    patience: int
    lr: float
    batch_size: int
    check_every: int = 50
    """Steps between two looks at the validation records."""


def fuse(student: Learner, records: Records, target: Tensor, validation: Records, plan: Fusion, seed: Seed) -> int:
    """Minimise ``KL(softmax(target) || student)`` on unlabelled ``records``, and return the steps that were kept.

    ``target`` [N, C] are mean logits of the teachers on the records, a constant. Adam with cosine decay over
    ``plan.steps``; ends after ``plan.patience`` steps without gain in validation accuracy and goes back to the best
    weights (of several equally good the last). Raises :class:`Diverged` on a loss that is not finite.
    """
    root, name = seed
    draw = seeds.generator(root, *name, "order")
    x, device = torch.from_numpy(records.x).to(student.device), student.device
    log_q = log_probabilities(target).to(device)
    optimizer = torch.optim.Adam(student.module.parameters(), lr=plan.lr)
    best, best_step, gained = student.weights(), 0, 0
    best_right = _right(student, validation)
    order, place = torch.randperm(len(x), generator=draw), 0
    with seeds.torch_scope(root, *name, "dropout"):
        for step in range(1, plan.steps + 1):
            if place >= len(x):
                order, place = torch.randperm(len(x), generator=draw), 0
            rows = order[place : place + plan.batch_size].to(device)
            place += plan.batch_size
            student.module.train()
            for group in optimizer.param_groups:
                group["lr"] = plan.lr * (1 + math.cos(math.pi * (step - 1) / plan.steps)) / 2
            loss = kl_divergence(log_q[rows], log_probabilities(student.module(normalised(x[rows]))))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if step % plan.check_every and step < plan.steps:
                continue
            if not math.isfinite(float(loss.detach())):
                raise Diverged(f"the loss became {float(loss.detach())}")
            right = _right(student, validation)
            if right > best_right:
                gained = step
            if right >= best_right:
                best, best_step, best_right = student.weights(), step, right
            if step - gained >= plan.patience:
                break
    student.module.load_state_dict(best)
    return best_step


def _right(student: Learner, validation: Records) -> int:
    """How many validation records the student gets right."""
    return int((predicted_class(student.logits(validation.x)) == torch.from_numpy(validation.y)).sum())
