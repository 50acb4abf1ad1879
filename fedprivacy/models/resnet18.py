"""ResNet-18 (He et al. 2016, arXiv 1512.03385) with group normalisation (Wu and He 2018, arXiv 1803.08494).

Batch normalisation mixes the records of a batch and keeps running buffers: per-sample gradients, differential
privacy and averaging of weights all break on it (Hsieh et al. 2020, arXiv 1910.00189). Group normalisation has
neither.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.torchvision_guard import import_torchvision

GROUPS = 32
SMALL = 64
"""Up to this many pixels a side the stem keeps the resolution."""


class Residual(nn.Module):
    """The basic block, with the arguments and parameter names of torchvision's, and nothing done in place.

    In-place sums and ReLUs stop the hooks that opacus takes per-sample gradients with.
    """

    expansion: ClassVar[int] = 1

    def __init__(
        self, inputs: int, channels: int, stride: int = 1, downsample: nn.Module | None = None, *_: object, **__: object
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = _normalisation(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = _normalisation(channels)
        self.downsample = nn.Identity() if downsample is None else downsample

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, channels, H / stride, W / stride], rounded up."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class Resnet18(nn.Module):
    """torchvision's ResNet-18, every batch normalisation replaced by 32 groups.

    Images of at most 64 pixels a side (the larger one) get the stem of He et al.'s CIFAR networks: 3x3, stride 1, no
    max-pooling; 11,173,962 parameters on 3x32x32 with ten classes. Larger ones keep 7x7, stride 2 and max-pooling.
    torchvision's initial weights. The last of the four stages and the dense layer are the deep group.
    """

    smallest_side: ClassVar[int | None] = 8
    deep: ClassVar[tuple[str, ...]] = ("body.layer4.", "head.")
    feature_size: ClassVar[int] = 512

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        channels, height, width = shape
        resnet = import_torchvision().models.ResNet
        self.body = resnet(Residual, [2, 2, 2, 2], norm_layer=_normalisation)
        if max(height, width) <= SMALL:
            self.body.conv1 = _stem(channels, 3, 1)
            self.body.maxpool = nn.Identity()
        else:
            self.body.conv1 = _stem(channels, 7, 2)
        self.body.relu = nn.ReLU()
        self.body.fc = nn.Identity()
        self.head = nn.Linear(self.feature_size, outputs)

    def features(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 512]."""
        pooled: Tensor = self.body(x.contiguous())
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> logits [B, outputs]."""
        logits: Tensor = self.head(self.features(x))
        return logits


def _normalisation(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels)


def _stem(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, 64, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
