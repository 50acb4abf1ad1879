"""A client's predictions as one matrix: centred, clipped as a whole, and brought back to probabilities.

Every row of a released matrix may change when one private record does, since the model that predicts it may be any
other. Clipping therefore bounds the norm of the whole matrix; clipping each row to c would leave a sensitivity of
2 c sqrt(rows).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedprivacy.wire.payload import Predictions

SOFT = ("probabilities", "logits", "losses")
"""Forms that are real numbers."""


def centre(form: str, columns: int, classes: int) -> float:
    """The public constant that is subtracted before clipping, so that norms are small: what a uniform guess says."""
    if form == "probabilities":
        return 0.5 if columns == 1 else 1 / columns
    return math.log(classes) if form == "losses" else 0.0


def largest_norm(rows: int, columns: int) -> float:
    """Frobenius norm that centred probabilities [rows, columns] cannot exceed: all rows at a corner."""
    return math.sqrt(rows) / 2 if columns == 1 else math.sqrt(rows * (1 - 1 / columns))


def largest_sum(rows: int, columns: int) -> float:
    """Sum of absolute entries that centred probabilities [rows, columns] cannot exceed."""
    return rows / 2 if columns == 1 else 2 * rows * (1 - 1 / columns)


def finite(values: Tensor) -> Tensor:
    """Float64, with everything that is not finite set to zero: no input may escape the clip bound."""
    return torch.nan_to_num(values.double(), nan=0.0, posinf=0.0, neginf=0.0)


def clip_norm(matrix: Tensor, bound: float) -> Tensor:
    """Scale by ``min(1, bound / norm)``, the norm taken over all entries together."""
    return matrix * min(1.0, bound / max(float(matrix.norm()), 1e-300))


def clip_sum(matrix: Tensor, bound: float) -> Tensor:
    """Scale by ``min(1, bound / sum of absolute entries)``."""
    return matrix * min(1.0, bound / max(float(matrix.abs().sum()), 1e-300))


def projected(values: Tensor) -> Tensor:
    """The nearest distributions to rows [N, C] (Duchi et al. 2008), or the nearest number in [0, 1] to one column."""
    if values.shape[1] == 1:
        return values.clamp(0.0, 1.0)
    ordered = values.sort(dim=1, descending=True).values
    excess = (ordered.cumsum(dim=1) - 1) / torch.arange(1, values.shape[1] + 1, dtype=values.dtype)
    kept = (ordered > excess).sum(dim=1, keepdim=True)
    return (values - excess.gather(1, kept - 1)).clamp_min(0.0)


def predicted(payload: Predictions) -> Tensor:
    """Predicted class [N] of probabilities, logits or labels. Raises TypeError for losses, which name no class."""
    values = payload.values
    if payload.form == "labels":
        return values[:, 0].long()
    if payload.form == "losses":
        raise TypeError("losses name no class")
    if values.shape[1] == 1:
        return (values[:, 0] > (0.5 if payload.form == "probabilities" else 0.0)).long()
    return values.argmax(dim=1)


def as_labels(classes: Tensor) -> Predictions:
    """Class numbers [N] as what is sent: one byte each below 256 classes."""
    small = not len(classes) or int(classes.max()) < 256
    return Predictions(classes[:, None].to(torch.uint8 if small else torch.int64), "labels")


def as_sent(values: Tensor) -> Tensor:
    """Float32, as predictions travel; what is beyond its range becomes its largest number."""
    return torch.nan_to_num(values.float())
