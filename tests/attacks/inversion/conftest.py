"""A small smooth network, records of a natural spectrum, and the messages a client would send."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.spectrum import NaturalSpectrum

SHAPE = (1, 8, 8)
CLASSES = 4
Message = dict[str, Tensor]


def uniform_weights(model: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.5)
    return model


@pytest.fixture
def smooth() -> nn.Module:
    """A convolution with stride, a convolution, a linear layer; sigmoids; weights uniform in (-0.5, 0.5)."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2, padding=1),
        nn.Sigmoid(),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.Sigmoid(),
        nn.Flatten(),
        nn.Linear(96, CLASSES),
    )
    return uniform_weights(model, 3).double()


@pytest.fixture
def images() -> Tensor:
    """Six records [6, 1, 8, 8] in [0, 1]."""
    generator = torch.Generator().manual_seed(11)
    u = torch.randn((6, *SHAPE), generator=generator, dtype=torch.float64)
    return (0.5 + NaturalSpectrum(SHAPE, u).image(1.2 * u)).clamp(0, 1)


@pytest.fixture
def gradient_of() -> Callable[[nn.Module, Tensor, Tensor], Message]:
    """(model, inputs [B, ...], labels [B]) -> the gradient of the mean cross-entropy, by plain autograd."""

    def compute(model: nn.Module, x: Tensor, labels: Tensor) -> Message:
        names, values = zip(*model.named_parameters(), strict=True)
        logits = model(x)
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return dict(zip(names, torch.autograd.grad(F.cross_entropy(logits, labels), values), strict=True))

    return compute


@pytest.fixture
def state_of() -> Callable[[nn.Module], Message]:
    """The weights a server holds."""
    return lambda model: {name: value.detach().clone() for name, value in model.state_dict().items()}
