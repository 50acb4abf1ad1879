"""What a reconstruction promises: images of the stated shape, the same each time, nearer to the records than to others.

It is tried on the gradients of single records at a small network with a first linear layer, which give them away.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.study.conformance.checked import Look, hold

SHAPE, CLASSES, MESSAGES = (1, 8, 8), 4, 4


def looks(part: Callable[..., Tensor]) -> Iterator[tuple[str, Look]]:
    """The properties of a function ``(model, parameters, observed, knowledge, labels, generator)``."""
    with seeds.torch_scope(0, "check", "reconstruction"):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Sigmoid(), nn.Linear(16, CLASSES)).double()
        records = torch.rand(MESSAGES, 1, *SHAPE, dtype=torch.float64)
    labels = torch.arange(MESSAGES)[:, None] % CLASSES
    parameters = {name: value.detach() for name, value in model.state_dict().items()}
    observed = [_gradient(model, x, y) for x, y in zip(records, labels, strict=True)]
    knowledge = Knowledge(SHAPE, CLASSES, labels="given", given_labels=(0,))
    made: list[Tensor] = []

    def images() -> Tensor:
        return part(model, parameters, observed, knowledge, labels, seeds.generator(0, "check", "images"))

    def shape() -> str:
        found = images()
        hold(isinstance(found, Tensor), f"it returned a {type(found).__name__}, not a tensor")
        hold(found.shape == records.shape, f"images are {list(found.shape)}, not {list(records.shape)}")
        hold(bool(torch.isfinite(found).all()), "images are not finite")
        made.append(found.detach().double())
        return f"images {list(found.shape)}"

    def again() -> str:
        before = copy.deepcopy((parameters, observed))
        with torch.random.fork_rng():
            torch.randn(17)  # the global stream decides nothing
            second = images().detach().double()
        hold(torch.equal(made[0], second), "two calls with the same generator differ: draw from it alone")
        changed = any(
            not torch.equal(one[name], two[name])
            for one, two in zip((before[0], *before[1]), (parameters, *observed), strict=True)
            for name in one
        )
        hold(not changed, "it changes the weights or the messages that it is given")
        return ""

    def scale() -> str:
        low, high = float(made[0].min()), float(made[0].max())
        hold(low >= -0.5 and high <= 1.5, f"pixels lie in [{low:.2g}, {high:.2g}], and records in [0, 1]")
        return ""

    def leak() -> str:
        own = (made[0].clamp(0, 1) - records).square().flatten(1).mean(1)
        other = (made[0].roll(1, 0).clamp(0, 1) - records).square().flatten(1).mean(1)
        hold(
            bool((own < other).all()),
            f"{int((own >= other).sum())} of {MESSAGES} images are no nearer to their record than another message's",
        )
        return f"mean squared error {own.mean():.2g}, of another message's image {other.mean():.2g}"

    yield "images of the records' shape", shape
    yield "the same message, the same image", again
    yield "images in the scale of pixels", scale
    yield "each image is of its own record", leak


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    loss = F.cross_entropy(model(x), y)
    names, values = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, values), strict=True))
