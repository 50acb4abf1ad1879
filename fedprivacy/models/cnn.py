"""A small convolutional network for digits, clothes and small photographs, after McMahan et al. 2017 (1602.05629).

Smaller than theirs (3x3 kernels for 5x5, a dense layer of 128 for 512), for clients with a few thousand records.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.models.convolution import PooledConvolution, channels_last


class Cnn(nn.Module):
    """Two 3x3 convolutions (32 and 64 channels, padded, max-pool 2, ReLU), dense 128, ReLU, dense.

    421,642 parameters on 1x28x28 with ten classes. Torch's default initial weights. The dense layers are the deep
    group.
    """

    smallest_side: ClassVar[int | None] = 8
    deep: ClassVar[tuple[str, ...]] = ("dense.", "head.")
    feature_size: ClassVar[int] = 128

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.conv1 = PooledConvolution(channels, 32, 3, padding=1)
        self.conv2 = PooledConvolution(32, 64, 3, padding=1)
        self.dense = nn.Linear(64 * (height // 4) * (width // 4), self.feature_size)
        self.head = nn.Linear(self.feature_size, outputs)

    def features(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 128]."""
        x = F.relu(self.conv1(channels_last(x)))
        x = F.relu(self.conv2(x))
        return F.relu(self.dense(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> logits [B, outputs]."""
        logits: Tensor = self.head(self.features(x))
        return logits
