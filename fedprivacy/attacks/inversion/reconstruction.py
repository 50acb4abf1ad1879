"""What an inversion attack returns, and the choice among restarts, which knows only the attack's own loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One reconstruction a target (T targets, B records each).

    ``images`` [T, B, C, H, W] in pixel scale, not cut to [0, 1]; ``targets`` [T, B, classes], the label distributions
    the attack used or found; ``loss`` [T], its own, of the restart chosen (lower is better); ``failed`` [T], how many
    of the at most ``restarts`` met a value that is not finite. Where all of them did, images and loss are NaN.
    """

    images: Tensor
    targets: Tensor
    loss: Tensor
    failed: Tensor
    restarts: int
    evaluations: int
    notes: tuple[str, ...] = ()
    """What an attack has to say of its result beside the loss."""

    @property
    def labels(self) -> Tensor:
        """Most likely label [T, B] of each record."""
        return self.targets.argmax(2)

    def improved(self, rows: Tensor, again: Reconstruction) -> Reconstruction:
        """This, with the targets ``rows`` replaced where ``again``, a later round on them, has the lower loss."""
        better = ~(again.loss >= self.loss[rows]) & ~again.loss.isnan()
        images, targets, loss, failed = (v.clone() for v in (self.images, self.targets, self.loss, self.failed))
        images[rows[better]], targets[rows[better]] = again.images[better], again.targets[better]
        loss[rows[better]] = again.loss[better]
        failed[rows] += again.failed
        evaluations = self.evaluations + again.evaluations
        return Reconstruction(images, targets, loss, failed, self.restarts + again.restarts, evaluations)


def choose(
    images: Tensor, targets: Tensor, loss: Tensor, failed: Tensor, restarts: int, evaluations: int
) -> Reconstruction:
    """The restart of lowest ``loss`` for each target; rows [T * restarts], restarts of a target side by side."""
    worth = torch.where(failed | loss.isnan(), torch.full_like(loss, torch.inf), loss).unflatten(0, (-1, restarts))
    lowest, choice = worth.min(1)
    rows = torch.arange(len(choice), device=choice.device) * restarts + choice
    lost = lowest.isinf()
    chosen = images[rows].clone()
    chosen[lost] = torch.nan
    return Reconstruction(
        chosen,
        targets[rows],
        torch.where(lost, torch.full_like(lowest, torch.nan), lowest),
        worth.isinf().sum(1),
        restarts,
        evaluations,
    )
