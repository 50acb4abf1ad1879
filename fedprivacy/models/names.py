"""The architectures by name. Importing this costs no torch, so a typo is answered at once."""

from __future__ import annotations

from fedprivacy import parts

MODELS: dict[str, str] = {
    "mlp": "one hidden layer of 256 ReLU units; images (flattened) or rows of features",
    "mlp-small": "the same with 64 units, a quarter of the parameters: something small to send",
    "cnn": "two 3x3 convolutions (32, 64) with max-pooling, one dense layer of 128; images from 8x8",
    "gupta-cnn": "three 3x3 convolutions (32, 64, 64) and one dense layer of 64 with dropout; images from 18x18 "
    "(Gupta 2025)",
    "lenet-sigmoid": "three 5x5 convolutions of 12 channels with sigmoids, smooth for gradient inversion; images "
    "from 4x4 (Zhu et al. 2019)",
    "resnet18": "torchvision's ResNet-18 with group instead of batch normalisation; images from 8x8 (He et al. 2016)",
}
"""Name -> what it is, in one line."""


def from_outside(name: str) -> bool:
    """Whether ``name`` is a model from outside the package. UsageError where it is no architecture at all."""
    return parts.exists("model", name, MODELS)
