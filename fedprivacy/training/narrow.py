"""Training a perceptron on the columns of its input that are not blank.

Where no record has anything in a column (the margins of images of digits), that column's weights have a gradient of
zero: from moments of zero, and without weight decay, SGD and Adam leave them exactly where they are. So they are left
out of products and updates. What is trained differs by the rounding of shorter sums alone. Cutting the columns out and
putting them back takes as long as some ten steps gain, so it is for long trainings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.config.run import TrainingConfig

LEAST = 128
"""Columns below which a product is too small to gain."""
SHARE = 7 / 8
"""Part of the columns that may be in use for the rest to be left out."""
LANES = 16
"""Products are fastest where rows are whole numbers of cache lines, so the columns are filled up with blank ones."""


def columns_in_use(arrays: Sequence[NDArray[Any]], config: TrainingConfig) -> Tensor | None:
    """Columns [D'] that any record of ``arrays`` [N, ...] has, to train on with a fresh optimiser; None: all."""
    if config.weight_decay or not any(len(one) for one in arrays):
        return None
    width = math.prod(arrays[0].shape[1:])
    if width < LEAST:
        return None
    used = torch.zeros(width, dtype=torch.bool)
    for one in {id(one): one for one in arrays}.values():
        used |= torch.from_numpy((one != 0).any(0).reshape(-1))
    number = int(used.sum())
    if number > SHARE * width:
        return None
    used[(~used).nonzero()[: -number % LANES, 0]] = True
    return used.nonzero()[:, 0]


def narrowed(values: Tensor, columns: Tensor) -> Tensor:
    """The ``columns`` of ``values`` [..., D], as a new tensor [..., D']."""
    return values.index_select(-1, columns)


def widened(full: Tensor, values: Tensor, columns: Tensor) -> Tensor:
    """``full`` [..., D] with ``values`` [..., D'] in its ``columns``; changed in place."""
    return full.index_copy_(-1, columns, values)
