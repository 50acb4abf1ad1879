"""What a module remembers beside its weights, which no clipping bounds.

Running statistics are sums over private records that leave with the model and carry no noise: under a claim for
records, a buffer that moves in training is a release that nobody counts. Batch normalisation is the known case;
instance normalisation with running statistics is another, which Opacus' validator passes. Contents are compared,
because batch normalisation moves its statistics without touching their version counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fedprivacy.config.base import UsageError

INSTEAD = "use layers without running statistics, such as GroupNorm or track_running_stats=False"


def kept(module: nn.Module) -> dict[str, Tensor]:
    """A copy of every tensor that ``module`` holds and does not train: buffers, and attributes of its layers."""
    found = {name: buffer for name, buffer in module.named_buffers()}
    for prefix, layer in module.named_modules():
        found |= {f"{prefix}.{name}": value for name, value in vars(layer).items() if isinstance(value, Tensor)}
    return {name: tensor.detach().clone() for name, tensor in found.items()}


def moved(before: dict[str, Tensor], module: nn.Module) -> list[str]:
    """Names of what is no longer as it was kept."""
    after = kept(module)
    return sorted(name for name in before.keys() | after.keys() if not _same(before.get(name), after.get(name)))


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(torch.eq(a, b).logical_or((a != a) & (b != b)).all())


def refuse(names: list[str]) -> None:
    """Raise UsageError if there are any."""
    if names:
        raise UsageError(f"the model changes {names[0]} while it trains on private records: {INSTEAD}.")


@contextmanager
def still(module: nn.Module) -> Iterator[None]:
    """Raise UsageError if ``module`` remembers anything of what it is run on inside."""
    before = kept(module)
    yield
    refuse(moved(before, module))


def moving(module: nn.Module, x: Tensor) -> list[str]:
    """Names of what one training pass over records ``x`` moves; the module is left as it was."""
    weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    before, was_training = kept(module), module.training
    module.train()
    with torch.random.fork_rng([]), torch.no_grad():
        module(x.to(next(module.parameters()).device))
    names = moved(before, module)
    module.load_state_dict(weights)
    module.train(was_training)
    return names
