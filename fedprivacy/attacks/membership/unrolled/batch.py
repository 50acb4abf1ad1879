"""One batch of a relaxed run: its records, what each counts, and the derivative of its loss by the logits.

A gradient needs that derivative D [B, C]; its product with a vector needs those of D's own derivatives: by the logits,
a symmetric matrix a record, and by the coins. They are written out for losses that tell them
(:class:`~fedprivacy.training.taught.Curved`), and left to automatic differentiation for others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd import grad

from fedprivacy.training.learner import Loss, label_loss
from fedprivacy.training.taught import Curvature, Curved, curved_by_labels


class Slope(Protocol):
    """D, with what its own derivatives need."""

    @property
    def d(self) -> Tensor:
        """D [B, C], without a graph."""

    def product(self, vector: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """``vector' dD/dlogits`` [B, C] and ``vector' dD/dcoins`` [n], None where D does not depend on them; once."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Records ``x`` and labels ``y`` of one step under ``loss``, ``rows`` their positions for it.

    ``coins`` [n]: weights of all candidates, whose rows these are; None: public records, which count alike. The mean is
    over ``members`` records; None: over as many as the coins add up to. ``factors`` [B]: what the gradient of each
    record is multiplied by beside, None for 1.
    """

    x: Tensor
    y: Tensor
    rows: Tensor
    loss: Loss
    coins: Tensor | None = None
    members: float | None = None
    factors: Tensor | None = None

    def each(self, logits: Tensor) -> Tensor:
        """Derivatives [B, C] of each record's own loss by its ``logits``, without a graph."""
        with torch.enable_grad():
            free = logits.detach().requires_grad_(True)
            (mean,) = grad(self.loss(free, self.y, self.rows), free)
        return mean * len(logits)

    def traced(self, logits: Tensor, keep: bool) -> Tensor:
        """D of ``logits`` that require a gradient; ``keep``: with its graph from them and from the coins."""
        (plain,) = grad(self.loss(logits, self.y, self.rows), logits, create_graph=keep)
        # The protocol's loss is a mean over the batch it is given: undo that, then count each record as it should.
        return plain if self.coins is None else plain * (self._shares(self.coins) * len(logits))[:, None]

    def slope(self, logits: Tensor, keep: bool) -> Slope:
        """D of ``logits`` that carry no graph; ``keep``: its product will be asked for."""
        if logits.shape[1] > 1 and (self.loss is label_loss or isinstance(self.loss, Curved)):
            with torch.no_grad():
                return self._written(logits)
        with torch.enable_grad():
            free = logits.requires_grad_(True)
            return Traced(self.traced(free, keep), free, self.coins)

    def by_coins(self, by_shares: Tensor) -> Tensor | None:
        """Derivatives by the coins [n], given those by what each record counts [B]."""
        if self.coins is None:
            return None
        found, own = torch.zeros_like(self.coins), self.coins.detach()[self.rows]
        if self.factors is not None:
            by_shares = by_shares * self.factors
        if self.members is not None:
            found[self.rows] = by_shares / self.members
            return found
        total = own.sum()
        through = (by_shares * own).sum() / total if total > 1 else 0.0
        found[self.rows] = (by_shares - through) / total.clamp_min(1)
        return found

    def _written(self, logits: Tensor) -> Slope:
        if isinstance(self.loss, Curved):
            plain, curvature = self.loss.curved(logits, self.y, self.rows)
        else:
            plain, curvature = curved_by_labels(logits, self.y)
        if self.coins is None:
            return Written(plain / len(plain), plain, curvature, None, self)
        shares = self._shares(self.coins.detach())[:, None]
        return Written(plain * shares, plain, curvature, shares, self)

    def _shares(self, coins: Tensor) -> Tensor:
        """What each record counts [B]."""
        own = coins[self.rows]
        shares = own / (own.sum().clamp_min(1) if self.members is None else self.members)
        return shares if self.factors is None else shares * self.factors


@dataclass(frozen=True, eq=False)
class Traced:
    """By automatic differentiation."""

    graph: Tensor
    logits: Tensor
    coins: Tensor | None

    @property
    def d(self) -> Tensor:
        return self.graph.detach()

    def product(self, vector: Tensor) -> tuple[Tensor | None, Tensor | None]:
        inputs = [self.logits] if self.coins is None else [self.logits, self.coins]
        by_logits, *by_coins = grad(self.graph, inputs, vector, allow_unused=True)
        return by_logits, by_coins[0] if by_coins else None


@dataclass(frozen=True, eq=False)
class Written:
    """Written out: ``plain`` [B, C] and ``curvature`` of each record's own loss, which counts ``shares`` [B, 1]."""

    d: Tensor
    plain: Tensor
    curvature: Curvature
    shares: Tensor | None
    batch: Batch

    def product(self, vector: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self.shares is None:
            return self.curvature(vector / len(vector)), None
        return self.curvature(vector * self.shares), self.batch.by_coins((vector * self.plain).sum(1))
