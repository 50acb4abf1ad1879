"""Cross-entropy and the mean divergence to several fixed predictions, as one divergence; its slope is written out.

Over peers j, ``mean_j KL(p || q_j) = sum_c p_c (log p_c - mean_j log q_jc)``, and ``mean_j KL(q_j || p)`` is
``-sum_c mean_j q_jc log p_c`` and a constant: one pass over a batch in the place of one a peer, and no graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from fedprivacy.training.losses import cross_entropy, log_probabilities, softmax

Curvature = Callable[[Tensor], Tensor]
"""Vectors [B, C] -> the product of each with the second derivative [C, C] of a record's loss by its logits."""


@runtime_checkable
class WrittenOut(Protocol):
    """A :data:`learner.Loss` of logits, labels and positions alone that tells its own derivative, of many batches."""

    def __call__(self, logits: Tensor, labels: Tensor, rows: Tensor, /) -> Tensor: ...

    def slopes(self, logits: Tensor, labels: Tensor, rows: Tensor, share: Tensor | float) -> tuple[Tensor, Tensor]:
        """Losses [...] of logits [..., B, C], C > 1, labels and positions [..., B], and derivatives [..., B, C].

        ``share``: what each record counts, [..., B, 1] or one for all; 1 / B for a mean.
        """


@runtime_checkable
class Curved(Protocol):
    """A :data:`learner.Loss` that is a mean over records and tells its first two derivatives."""

    def __call__(self, logits: Tensor, labels: Tensor, rows: Tensor, /) -> Tensor: ...

    def curved(self, logits: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Curvature]:
        """Derivatives [B, C] of each record's own loss by its logits [B, C], C > 1, and their curvature."""


def curved_by_labels(logits: Tensor, labels: Tensor) -> tuple[Tensor, Curvature]:
    """The same of plain cross-entropy."""
    p = softmax(logits)
    return _but_label(p, labels), lambda vector: _tilted(p, vector)


@dataclass(frozen=True, eq=False)
class Taught:
    """``CE(y, own) + weight T^2 D`` in nats, a mean over records; a loss of a fit (:data:`learner.Loss`).

    ``target`` [N, C] of the records of the fit: mean log-probabilities of the peers, softened, for ``KL(own || peer)``;
    with ``offset`` [N], mean probabilities for ``KL(peer || own)``, whose constant the offset is. Without ``labelled``
    the cross-entropy is left out.
    """

    target: Tensor
    offset: Tensor | None
    weight: float
    temperature: float = 1.0
    labelled: bool = True
    of_logits: ClassVar[bool] = True

    def __call__(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        target = self.target.to(rows.device)[rows]
        log_p = log_probabilities(logits, self.temperature)
        if self.offset is None:
            apart = (log_p.exp() * (log_p - target)).sum(1)
        else:
            apart = self.offset.to(rows.device)[rows] - (target * log_p).sum(1)
        divergence = self.weight * self.temperature**2 * apart.mean()
        return cross_entropy(logits, labels) + divergence if self.labelled else divergence

    def slopes(self, logits: Tensor, labels: Tensor, rows: Tensor, share: Tensor | float) -> tuple[Tensor, Tensor]:
        """The loss [...] of logits [..., B, C], C > 1, labels and rows [..., B], and its derivative [..., B, C].

        ``share``: what each record counts, [..., B, 1] or one for all; 1 / B for a mean.
        """
        target = self.target.to(rows.device)[rows]
        log_p = torch.log_softmax(logits / self.temperature if self.temperature != 1 else logits, -1)
        p = log_p.exp()
        if self.offset is None:
            gaps = log_p - target
            apart = (p * gaps).sum(-1, keepdim=True)
            slope = gaps.sub_(apart).mul_(p)
        else:
            apart = self.offset.to(rows.device)[rows][..., None] - (target * log_p).sum(-1, keepdim=True)
            slope = p * target.sum(-1, keepdim=True) - target
        value, slope = apart * (self.weight * self.temperature**2), slope.mul_(self.weight * self.temperature)
        if self.labelled:
            plain = log_p if self.temperature == 1 else torch.log_softmax(logits, -1)
            value = value - plain.gather(-1, labels[..., None])
            slope += p if self.temperature == 1 else plain.exp()
            slope.scatter_add_(-1, labels[..., None], slope.new_full((), -1.0).expand(*labels.shape, 1))
        return (value * share).sum((-2, -1)), slope.mul_(share)

    def curved(self, logits: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, Curvature]:
        """Derivatives [B, C] of each record's own loss by its logits [B, C], C > 1, and their curvature."""
        target, heat = self.target.to(rows.device)[rows], self.temperature
        log_p = torch.log_softmax(logits / heat if heat != 1 else logits, -1)
        p = log_p.exp()
        plain = (p if heat == 1 else softmax(logits)) if self.labelled else None
        if self.offset is None:
            gaps = log_p - target
            bent = gaps - (p * gaps).sum(-1, keepdim=True)
            slope = p * bent
        else:
            total = target.sum(-1, keepdim=True)
            bent, slope = None, p * total - target
        slope.mul_(self.weight * heat)
        if plain is not None:
            slope += _but_label(plain, labels)

        def curvature(vector: Tensor) -> Tensor:
            tilted = _tilted(p, vector)
            if bent is None:
                found = tilted * total
            else:
                moved = tilted * bent
                found = tilted + moved - p * moved.sum(-1, keepdim=True)
            found.mul_(self.weight)
            return found if plain is None else found + (tilted if plain is p else _tilted(plain, vector))

        return slope, curvature


def _tilted(p: Tensor, vector: Tensor) -> Tensor:
    """How probabilities [B, C] change where their logits move along ``vector``."""
    return p * (vector - (p * vector).sum(-1, keepdim=True))


def _but_label(p: Tensor, labels: Tensor) -> Tensor:
    """Probabilities [B, C] less one for the label [B]."""
    return p.scatter_add(-1, labels[..., None], p.new_full((), -1.0).expand(*labels.shape, 1))
