"""The multilayer perceptron of the membership experiments: one hidden layer of 256 ReLU units, and a smaller one."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F


class Mlp(nn.Module):
    """Flatten, dense 256, ReLU, dense; 784-256-10 on 28x28 digits. Torch's default initial weights.

    The shallow group is the hidden layer, the deep group the last one.
    """

    smallest_side: ClassVar[int | None] = None
    """Reads records of any shape."""
    deep: ClassVar[tuple[str, ...]] = ("head.",)
    feature_size: ClassVar[int] = 256
    relu_chain: ClassVar[tuple[str, ...]] = ("hidden", "head")

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(math.prod(shape), self.feature_size)
        self.head = nn.Linear(self.feature_size, outputs)

    def features(self, x: Tensor) -> Tensor:
        """[B, ...] -> [B, 256]."""
        return F.relu(self.hidden(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] -> logits [B, outputs]."""
        logits: Tensor = self.head(self.features(x))
        return logits


class SmallMlp(Mlp):
    """The same with a hidden layer of 64; 50,890 parameters on 28x28 digits, a quarter of the other's."""

    feature_size: ClassVar[int] = 64
