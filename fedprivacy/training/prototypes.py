"""Class prototypes: mean features, their mean over clients, the pull towards them, and the nearest one.

Tan et al. 2022 (FedProto, arXiv 2105.00243).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fedprivacy.wire.payloads import Prototypes


def of_classes(features: Tensor, labels: Tensor, classes: int, with_counts: bool = False) -> Prototypes:
    """Mean of ``features`` [N, d] for each of the classes that ``labels`` [N] hold, by class number."""
    counts = torch.bincount(labels, minlength=classes)
    sums = torch.zeros(classes, features.shape[1], dtype=torch.float64).index_add_(0, labels, features.double())
    held = counts.nonzero()[:, 0]
    means = (sums[held] / counts[held, None]).float()
    sent = counts[held].to(torch.int32) if with_counts else torch.zeros(0, dtype=torch.int32)
    return Prototypes(means, held.to(torch.int16), sent)


def merged(parts: Sequence[Prototypes]) -> Prototypes:
    """Per class the mean over the parties that hold it: plain, or by their counts where all parts carry them.

    The paper's formula divides by the number of clients once more, which shrinks every prototype; its code does not.
    Raises ValueError on no parts.
    """
    if not parts:
        raise ValueError("nothing to average")
    classes = torch.cat([p.classes for p in parts]).long()
    weighted = all(len(p.counts) == len(p.classes) for p in parts)
    weights = torch.cat([p.counts for p in parts]).double() if weighted else torch.ones(len(classes)).double()
    held, place = classes.unique(return_inverse=True)
    means = torch.cat([p.means for p in parts]).double()
    sums = torch.zeros(len(held), means.shape[1], dtype=torch.float64).index_add_(0, place, means * weights[:, None])
    totals = torch.zeros(len(held), dtype=torch.float64).index_add_(0, place, weights)
    return Prototypes((sums / totals[:, None]).float(), held.to(torch.int16), torch.zeros(0, dtype=torch.int32))


def renewed(old: Prototypes, new: Prototypes) -> Prototypes:
    """``new``, and what ``old`` has of classes that nobody sent this time."""
    kept = ~torch.isin(old.classes, new.classes)
    classes, means = torch.cat([old.classes[kept], new.classes]), torch.cat([old.means[kept], new.means])
    order = classes.argsort()
    return Prototypes(means[order], classes[order], new.counts)


def none_of(width: int) -> Prototypes:
    """No prototype, of ``width`` features."""
    return Prototypes(torch.zeros(0, width), torch.zeros(0, dtype=torch.int16), torch.zeros(0, dtype=torch.int32))


def to_part(prototypes: Prototypes) -> dict[str, Tensor]:
    """Prototypes as a part of a state; counts are left out."""
    return {"means": prototypes.means, "classes": prototypes.classes}


def of_part(part: Mapping[str, Tensor]) -> Prototypes:
    """Prototypes that :func:`to_part` wrote."""
    return Prototypes(part["means"], part["classes"], torch.zeros(0, dtype=torch.int32))


def table(prototypes: Prototypes, classes: int) -> tuple[Tensor, Tensor]:
    """Prototypes [C, d] by class number, zero where there is none, and which classes have one [C] (1 or 0)."""
    means, present = torch.zeros(classes, prototypes.means.shape[1]), torch.zeros(classes)
    rows = prototypes.classes.long()
    means[rows], present[rows] = prototypes.means, 1.0
    return means, present


def pull(features: Tensor, labels: Tensor, means: Tensor, present: Tensor) -> Tensor:
    """Mean squared distance of ``features`` [B, d] to the prototypes of their ``labels``; prototypes are constants.

    A record whose class has no prototype adds zero; the mean is over all B * d entries.
    """
    distance = (features - means[labels]) * present[labels, None]
    return distance.square().mean()


def nearness(features: Tensor, means: Tensor, present: Tensor) -> Tensor:
    """Minus the squared distance [N, C] of each record to each prototype; minus infinity where there is none."""
    return torch.where(present.bool(), -torch.cdist(features, means).square(), -torch.inf)
