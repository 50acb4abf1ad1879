"""Forward passes whose derivatives exist in inference mode and twice, whatever kernel torch would choose for speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def differentiable(module: nn.Module) -> Iterator[None]:
    """Attention and recurrence of what runs within, by plain operations.

    Fused attention has no second derivative; cuDNN's recurrence has none either, and no first one in inference mode.
    """
    recurrent = any(isinstance(layer, nn.RNNBase) for layer in module.modules())
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent),
    ):
        yield
