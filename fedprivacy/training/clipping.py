"""One batch whose records' gradients are wanted, and what every engine makes of it: their clipped sum.

An engine covers a batch or says that it does not (:class:`NotCovered`), so that another can take over. It never
leaves out a tensor that needs a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Losses = Callable[[Tensor, Tensor], Tensor]
"""(outputs [b, ...], positions in the batch [b]) -> the loss of each of these records [b]."""


class NotCovered(ValueError):
    """This engine cannot tell every record's gradient of every parameter; the message says why."""


@dataclass(frozen=True, eq=False)
class Clipped:
    """Sum over the batch of gradients scaled by ``min(1, bound / norm)``, by parameter, and the norms [B] before."""

    total: dict[nn.Parameter, Tensor]
    norms: Tensor


class Gradients(Protocol):
    """Gradients of the records of a batch, held in any form that can be weighed."""

    @property
    def norms(self) -> Tensor:
        """L2 norms [B] over all parameters together."""

    def weighted(self, factors: Tensor) -> Mapping[nn.Parameter, Tensor]:
        """``sum_i factors_i g_i`` by parameter, for factors [B]."""


def clipped(gradients: Gradients, bound: float) -> Clipped:
    """``sum_i g_i min(1, bound / ||g_i||)``."""
    norms = gradients.norms
    return Clipped(dict(gradients.weighted(clip_factors(norms, bound))), norms)


def clip_factors(norms: Tensor, bound: float) -> Tensor:
    """``min(1, bound / norm)``, and 1 for a norm of 0."""
    factors = (bound / norms).clamp(max=1.0)
    factors[norms == 0] = 1.0
    return factors


@dataclass(eq=False)
class Batch:
    """A module, its trained parameters, the records [B, ...] of one step, and the loss of each.

    ``told`` holds losses [B] and outputs [B, ...] of the latest pass over the whole batch.
    """

    module: nn.Module
    parameters: Sequence[nn.Parameter]
    x: Tensor
    losses: Losses
    told: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.x)

    def each(self, module: nn.Module | None = None) -> Tensor:
        """The loss of each record [B] from one forward pass of the module, or of one that wraps it."""
        outputs: Tensor = (module or self.module)(self.x)
        each = one_a_record(self.losses(outputs, torch.arange(len(self.x), device=self.x.device)), len(self.x))
        self.told = each.detach(), outputs.detach()
        return each


def one_a_record(each: Tensor, number: int) -> Tensor:
    """``each``, if it holds one loss for each of ``number`` records; ValueError otherwise."""
    if each.shape != (number,):
        raise ValueError(f"the losses of {number} records have shape {list(each.shape)}; one number a record is needed")
    return each


def refuse_hooks(parameters: Iterable[nn.Parameter]) -> None:
    """Raise NotCovered where a parameter has a hook: only an ordinary backward pass runs it."""
    if any(parameter._backward_hooks for parameter in parameters):
        raise NotCovered("a parameter has a hook that may change its gradient")
