"""The face-mask network of Gupta 2025 (Distributed Mutual Learning, arXiv 2503.05803), ported from Keras."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.models.convolution import Convolution, PooledConvolution, channels_last

DROPOUT = 0.2


class GuptaCnn(nn.Module):
    """Convolutions 32, 64 (each with max-pool 2) and 64, 3x3 without padding, dense 64, dropout 0.2 twice, dense.

    1,862,785 parameters on 3x100x100 with one output: 56,320 in the shallow group (convolutions), 1,806,465 in the
    deep one (dense). Glorot-uniform kernels and zero biases, as Keras initialises.
    """

    smallest_side: ClassVar[int | None] = 18
    deep: ClassVar[tuple[str, ...]] = ("dense.", "head.")
    feature_size: ClassVar[int] = 64

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.conv1 = PooledConvolution(channels, 32, 3)
        self.conv2 = PooledConvolution(32, 64, 3)
        self.conv3 = Convolution(64, 64, 3)
        self.dense = nn.Linear(64 * _left(height) * _left(width), self.feature_size)
        self.head = nn.Linear(self.feature_size, outputs)
        self.drop_flat = nn.Dropout(DROPOUT)
        self.drop_dense = nn.Dropout(DROPOUT)
        for layer in (self.conv1, self.conv2, self.conv3, self.dense, self.head):
            for name, parameter in layer.named_parameters():
                if name == "weight":
                    nn.init.xavier_uniform_(parameter)
                else:
                    nn.init.zeros_(parameter)

    def features(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 64], after the second dropout."""
        x = F.relu(self.conv1(channels_last(x)))
        x = F.relu(self.conv2(x))
        x = F.relu(self.conv3(x))
        kept: Tensor = self.drop_dense(F.relu(self.dense(self.drop_flat(x.flatten(1)))))
        return kept

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> logits [B, outputs]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def _left(side: int) -> int:
    """Pixels a side before flattening: 100 -> 98 -> 49 -> 47 -> 23 -> 21."""
    return ((side - 2) // 2 - 2) // 2 - 2
