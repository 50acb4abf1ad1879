"""Arrays as other frameworks hand them over, as tensors: in order, in their own type, or refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedprivacy.config.base import UsageError


def tensor_of(value: Any) -> Tensor:
    """A tensor of its own, row by row on the CPU, of a tensor or of whatever numpy takes for an array.

    Any layout and byte order, zero-size too; bfloat16 as JAX hands it over. Raises UsageError for what holds no
    numbers, such as objects, texts, and the raw bytes that a bfloat16 array becomes in an ``.npz`` file.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().clone(memory_format=torch.contiguous_format)
    array = np.array(value, order="C")
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    try:
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
    except TypeError:
        raise UsageError(
            f"wire: an array of {array.dtype} holds no numbers that torch knows; cast to float32."
        ) from None
