"""The features that a model's head works on."""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedprivacy.config.base import UsageError
from fedprivacy.training.learner import normalised


class Featured(Protocol):
    """What is needed here of a model whose forward pass is ``head(features(x))``."""

    head: nn.Linear

    def features(self, x: Tensor) -> Tensor: ...


def featured(module: nn.Module) -> Featured:
    """The same module with its features in sight. UsageError where it has none."""
    missing = [part for part in ("head", "features") if not hasattr(module, part)]
    if missing:
        raise UsageError(
            f"model {type(module).__name__} has no {' and no '.join(missing)}, and this protocol works on features: "
            "its forward pass must be head(features(x)), with head an nn.Linear."
        )
    return cast("Featured", module)


def features_and_logits(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features [B, d] and logits [B, C] of one forward pass."""
    model = featured(module)
    hidden = model.features(x)
    logits: Tensor = model.head(hidden)
    return hidden, logits


def features_of(module: nn.Module, x: NDArray[Any], device: torch.device, rows: int = 512) -> Tensor:
    """Features [N, d] of records as stored, in inference mode, on the CPU."""
    module.eval()
    model = featured(module)
    with torch.inference_mode():
        starts = range(0, max(1, len(x)), rows)
        parts = [model.features(normalised(torch.from_numpy(x[i : i + rows]).to(device))).cpu() for i in starts]
    return torch.cat(parts).clone()


def feature_size(module: nn.Module) -> int:
    """Number d of features."""
    return featured(module).head.in_features
