"""A client's update as one long vector: clipped, noised, pruned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedprivacy.defenses import noise, plan
from fedprivacy.federation.environment import Environment

Tensors = Mapping[str, Tensor]


def norm(update: Tensors) -> float:
    """L2 norm over all tensors together."""
    return float(torch.stack([t.double().norm() for t in update.values()]).norm()) if update else 0.0


def clip(update: Tensors, bound: float) -> dict[str, Tensor]:
    """Scale by ``min(1, bound / norm)``; what is not finite becomes zero first, so that nothing escapes the bound."""
    sound = {name: torch.nan_to_num(t.double(), nan=0.0, posinf=0.0, neginf=0.0) for name, t in update.items()}
    factor = min(1.0, bound / max(norm(sound), 1e-300))
    return {name: t * factor for name, t in sound.items()}


def add_noise(update: Tensors, deviation: float, source: torch.Generator) -> dict[str, Tensor]:
    """N(0, deviation^2) on every entry, drawn tensor after tensor in the order of the names."""
    return {name: update[name] + noise.gaussian(update[name].shape, deviation, source) for name in sorted(update)}


def like(values: Tensors, pattern: Tensors) -> dict[str, Tensor]:
    """``values`` in the order and types of ``pattern``."""
    return {name: values[name].to(t.dtype) for name, t in pattern.items()}


def check_models(defense: str, env: Environment) -> None:
    """Raise UsageError for batch normalisation: its running statistics and counters are no trained weights."""
    for name in dict.fromkeys(map(env.architecture, range(env.clients))):
        layers: Sequence[nn.Module] = list(env.workbench.module(name).modules())
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in layers):
            plan.refuse(defense, f"model {name} has batch normalisation, which mixes records; use one without")


def check_numbers(defense: str, env: Environment) -> None:
    """:func:`check_models`, and UsageError for integer buffers: cast back to whole numbers, noise would be cut off."""
    check_models(defense, env)
    for name in dict.fromkeys(map(env.architecture, range(env.clients))):
        for buffer, tensor in env.workbench.module(name).state_dict().items():
            if not tensor.is_floating_point():
                why = f"model {name} has the integer buffer {buffer}, to which no noise can be added"
                plan.refuse(defense, f"{why}; register it with persistent=False")
