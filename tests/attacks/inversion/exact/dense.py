"""A dense ReLU layer, drawn records, and what is sent of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.knowledge import Knowledge

Message = dict[str, Tensor]
SHAPE, CLASSES = (1, 8, 8), 4
CARD = Knowledge(SHAPE, CLASSES, mean=(0.5,), std=(0.3,))


def draw_of(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def records(number: int, seed: int = 5) -> tuple[Tensor, Tensor]:
    draw = draw_of(seed)
    x = torch.rand(number, *SHAPE, generator=draw, dtype=torch.float64)
    return x, torch.randint(0, CLASSES, (number,), generator=draw)


def mlp(width: int = 64, inputs: int = 64) -> nn.Module:
    draw = draw_of(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, CLASSES)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / 8)
    return model


def state(model: nn.Module) -> Message:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def gradient_behind(model: nn.Module, x: Tensor, labels: Tensor) -> Message:
    names, values = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(F.cross_entropy(model(x), labels), values), strict=True))


def farthest(found: Tensor, truth: Tensor) -> float:
    """Largest entry by which a true record differs from the nearest one found."""
    apart = torch.cdist(truth.flatten(1), found.flatten(1), p=float("inf"))
    return float(apart.min(1).values.max())


def after_steps(
    model: nn.Module, x: Tensor, labels: Tensor, places: tuple[int, ...], lr: float
) -> tuple[Message, Message]:
    """The weights before, and the update of steps of SGD on the records at ``places``, one a step."""
    before = state(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    for place in places:
        optimiser.zero_grad()
        F.cross_entropy(model(CARD.to_input(x[place : place + 1])), labels[place : place + 1]).backward()
        optimiser.step()
    return before, {name: value - before[name] for name, value in state(model).items()}
