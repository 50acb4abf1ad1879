"""A reconstruction from outside the package: a function of a model, messages and a knowledge card that gives images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedprivacy import parts
from fedprivacy.attacks.inversion.gradients import one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.reconstruction import Reconstruction


def reconstructed(
    name: str,
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Sequence[Mapping[str, Tensor]],
    knowledge: Knowledge,
    labels: Tensor,
    generator: torch.Generator,
) -> Reconstruction:
    """What the function ``name`` makes of T ``observed`` messages, called with all that follows it here.

    It returns images [T, B, C, H, W] in pixel scale, of the records in the order of ``labels`` [T, B]. Where it fails,
    or returns anything else, images are NaN, so that the other attacks stand.
    """
    shape = (*labels.shape, *knowledge.input_shape)
    images = torch.full(shape, torch.nan, dtype=torch.float64)
    part = parts.load("reconstruction", name)
    try:
        found = part(model, parameters, observed, knowledge, labels, generator)
        if isinstance(found, Tensor) and found.shape == shape:
            images = found.detach().double().cpu()
    except Exception:  # foreign code may raise anything; its row then has no number
        images = torch.full(shape, torch.nan, dtype=torch.float64)
    failed = images.isnan().flatten(1).any(1)
    loss = torch.where(failed, torch.nan, torch.zeros(len(labels), dtype=torch.float64))
    targets = one_hot(labels, knowledge.classes, torch.float64)
    return Reconstruction(images, targets, loss, failed.long(), 1, len(labels))
