"""A head for some of the classes alone: a client whose task has its own label set.

The logits keep one column a class of the whole federation, so that losses and tests need no second numbering; a class
that the head has no output for reads minus infinity, probability 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy.config.base import UsageError

SEPARATOR = "@"


def name_of(architecture: str, classes: Sequence[int]) -> str:
    """The name by which :func:`fedprivacy.models.build.build` makes ``architecture`` with outputs for ``classes``."""
    return f"{architecture}{SEPARATOR}{'.'.join(map(str, classes))}"


def split(name: str) -> tuple[str, tuple[int, ...]]:
    """Architecture and own classes of a name; none for a head with all of them."""
    architecture, found, classes = name.rpartition(SEPARATOR)
    if not found or not all(part.isdigit() for part in classes.split(".")):
        return name, ()
    return architecture, tuple(int(part) for part in classes.split("."))


class OwnHead(nn.Linear):
    """A last layer with one output a class in ``classes`` [k]; its logits [B, ``of``] are minus infinity elsewhere."""

    columns: Tensor

    def __init__(self, made: nn.Linear, classes: Sequence[int], of: int) -> None:
        """Takes over the parameters of ``made``, which has k outputs."""
        super().__init__(made.in_features, len(classes), bias=made.bias is not None)
        self.weight, self.bias, self.of = made.weight, made.bias, of
        self.register_buffer("columns", torch.tensor(classes), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        own = functional.linear(input, self.weight, self.bias)
        return own.new_full((len(own), self.of), -torch.inf).index_copy(1, self.columns, own)


def with_own_head(module: nn.Module, name: str, classes: Sequence[int], of: int) -> nn.Module:
    """The same module with its head, made for ``classes`` alone, spread over ``of`` columns. UsageError without one."""
    head = getattr(module, "head", None)
    if not isinstance(head, nn.Linear):
        raise UsageError(
            f"--heads own: model '{name}' has no head; its forward pass must be head(features(x)), head an nn.Linear."
        )
    module.head = OwnHead(head, classes, of)
    return module
