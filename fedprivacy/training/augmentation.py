"""Augmentation of image batches: what a client draws anew each time that it trains on a record.

A draw depends on no other record, so clipping record by record bounds one record's part as before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

SHARE = 8
"""A shift moves an image by at most this part of its side, at least one pixel; what is uncovered is 0."""


def augmented(x: Tensor, kinds: Sequence[str], draw: torch.Generator) -> Tensor:
    """Images ``x`` [B, C, H, W] after ``flip`` (mirrored left to right for every other record by a coin) and ``shift``
    (moved by whole pixels, each record by its own, all moves equally likely), in this order; without kinds ``x``.

    ValueError for records that are no images.
    """
    if not kinds:
        return x
    if x.ndim != 4:
        raise ValueError("augmentation is for images [B, C, H, W]")
    if "flip" in kinds:
        coins = torch.rand(len(x), generator=draw).to(x.device) < 0.5
        x = torch.where(coins[:, None, None, None], x.flip(-1), x)
    return _shifted(x, draw) if "shift" in kinds else x


def _shifted(x: Tensor, draw: torch.Generator) -> Tensor:
    _, _, height, width = x.shape
    down, right = max(1, height // SHARE), max(1, width // SHARE)
    padded = functional.pad(x, (right, right, down, down))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    top = torch.randint(2 * down + 1, (len(x),), generator=draw).to(x.device)
    left = torch.randint(2 * right + 1, (len(x),), generator=draw).to(x.device)
    return windows[torch.arange(len(x), device=x.device), :, top, left].contiguous()
