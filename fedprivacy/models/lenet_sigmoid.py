"""The LeNet of the gradient-inversion papers: Zhu, Liu, Han 2019, Deep Leakage from Gradients (arXiv 1906.08935).

Sigmoids instead of ReLUs, strides instead of pooling, and large weights: the gradient is smooth in the image and far
from zero, which is what matching gradients by second-order methods needs. It is an easy target, not a strong model.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from fedprivacy.models.convolution import Convolution

BOUND = 0.5


class LenetSigmoid(nn.Module):
    """Convolutions of 12 channels, 5x5, padding 2, strides 2, 2, 1, each with a sigmoid; one dense layer.

    All parameters are uniform in (-0.5, 0.5). 768 features on 32x32. The dense layer is the deep group.
    """

    smallest_side: ClassVar[int | None] = 4
    deep: ClassVar[tuple[str, ...]] = ("head.",)

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.conv1 = Convolution(channels, 12, 5, stride=2, padding=2)
        self.conv2 = Convolution(12, 12, 5, stride=2, padding=2)
        self.conv3 = Convolution(12, 12, 5, stride=1, padding=2)
        self.feature_size = 12 * _quarter(height) * _quarter(width)
        self.head = nn.Linear(self.feature_size, outputs)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -BOUND, BOUND)

    def features(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, feature_size]."""
        for layer in (self.conv1, self.conv2, self.conv3):
            x = torch.sigmoid(layer(x))
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> logits [B, outputs]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def _quarter(side: int) -> int:
    """Pixels a side after two strides of 2, rounded up each time."""
    return -(-side // 4)
