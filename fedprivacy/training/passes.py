"""Passes over records in batches: whoever asks with the seed of a fit gets the batches of that fit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from fedprivacy import seeds


def passes(
    number: int,
    size: int,
    epochs: int,
    seed: tuple[int, tuple[seeds.Name, ...]],
    steps: int | None = None,
    *,
    shuffle: bool = True,
    even: bool = False,
) -> Iterator[tuple[Tensor, list[slice]]]:
    """Each pass over ``number`` records: their order [number] and the slices of it that are steps.

    ``epochs`` passes, or exactly ``steps`` steps, the last pass cut short. Whoever asks with the seed of a fit gets the
    batches of that fit.
    """
    root, name = seed
    order, parts = seeds.generator(root, *name, "order"), batches(number, size, even)
    limit = epochs * len(parts) if steps is None else steps
    for done in range(0, limit, len(parts)):
        rows = torch.randperm(number, generator=order) if shuffle else torch.arange(number)
        yield rows, parts[: limit - done]


def batches(number: int, size: int, even: bool) -> list[slice]:
    """Slices of a pass over ``number`` records."""
    if not even:
        return [slice(i, min(i + size, number)) for i in range(0, number, size)]
    bounds = np.linspace(0, number, -(-number // size) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(bounds)]


def normalises_batches(module: nn.Module) -> bool:
    """Whether a record's answer in training depends on the others of its batch."""
    return any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules())


def of_several(parts: list[slice]) -> list[slice]:
    """Without a last batch of one record, which has no spread to normalise by, where there are others."""
    return parts[:-1] if len(parts) > 1 and parts[-1].stop - parts[-1].start == 1 else parts
