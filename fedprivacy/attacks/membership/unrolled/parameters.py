"""A module as a function of one flat vector, so that an optimiser and its adjoint are a few vector operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call


@dataclass(frozen=True, eq=False)
class Flat:
    """The parameters of ``module`` in one vector [P], in the order of ``named_parameters``; buffers stay inside."""

    module: nn.Module
    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @classmethod
    def of(cls, module: nn.Module) -> Flat:
        """The flat view of a module. ValueError for one with buffers: they would carry state past the vector."""
        if any(True for _ in module.buffers()):
            raise ValueError("a model with buffers, such as batch normalisation, cannot be unrolled")
        named = dict(module.named_parameters())
        return cls(module, tuple(named), tuple(p.shape for p in named.values()))

    @property
    def sizes(self) -> list[int]:
        """Numbers of entries of the tensors."""
        return [shape.numel() for shape in self.shapes]

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Named tensors to one vector."""
        return torch.cat([tensors[name].detach().reshape(-1) for name in self.names])

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """One vector to named tensors that share its memory and its graph."""
        parts = torch.split(vector, self.sizes)
        return {n: part.view(shape) for n, part, shape in zip(self.names, parts, self.shapes, strict=True)}

    def replaced(self, vector: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The vector with some tensors replaced, and 1 where it stayed, 0 where it was replaced; both [P]."""
        old = self.named(vector)
        new = {name: tensors.get(name, old[name]) for name in self.names}
        kept = {name: torch.full_like(old[name], float(name not in tensors)) for name in self.names}
        return self.flatten(new), self.flatten(kept)

    def logits(self, vector: Tensor, x: Tensor) -> Tensor:
        """Logits [N, C] at the weights ``vector``, in the mode that the module is in."""
        answer: Tensor = functional_call(self.module, self.named(vector), (x,))
        return answer
