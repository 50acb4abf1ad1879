"""The proximal term that holds local training near the model it started from (Li et al. 2020, arXiv 1812.06127)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedprivacy.training.learner import Learner, Loss
from fedprivacy.training.losses import cross_entropy


def proximal(parameters: Sequence[Tensor], anchor: Sequence[Tensor], mu: float) -> Tensor:
    """``mu/2 ||w - anchor||^2``, gradient ``mu (w - anchor)``; weight decay would pull to 0 instead."""
    squares = [(w - a).square().sum() for w, a in zip(parameters, anchor, strict=True)]
    return mu / 2 * torch.stack(squares).sum()


def proximal_loss(learner: Learner, mu: float) -> Loss:
    """Cross-entropy and the proximal term around the present weights of ``learner``."""
    parameters = list(learner.module.parameters())
    anchor = [p.detach().clone() for p in parameters]

    def loss(logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        plain = cross_entropy(logits, labels)
        return plain + proximal(parameters, anchor, mu) if mu else plain

    return loss
