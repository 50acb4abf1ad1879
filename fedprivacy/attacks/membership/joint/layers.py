"""Per-record gradients of one layer, as factors of an outer product or as rows; both can be added and weighed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Outer:
    """Gradients ``d_i a_i'`` [n, out, in] of a weight, and ``d_i`` of a bias, by their factors [n, in] and [n, out]."""

    inputs: Tensor
    outputs: Tensor
    weight: str | None
    bias: str | None

    def gram(self, other: Outer) -> Tensor:
        """[n, m]."""
        inner = self.inputs @ other.inputs.T if self.weight else self.inputs.new_zeros(())
        return (inner + (1.0 if self.bias else 0.0)) * (self.outputs @ other.outputs.T)

    def inner(self, change: Mapping[str, Tensor]) -> Tensor:
        """Inner products [n] with one change of weights; a tensor that it lacks counts as zero."""
        found = self.outputs.new_zeros(len(self.outputs))
        if self.weight is not None and self.weight in change:
            found = found + ((self.inputs @ change[self.weight].T) * self.outputs).sum(dim=1)
        if self.bias is not None and self.bias in change:
            found = found + self.outputs @ change[self.bias]
        return found

    def combined(self, by: Tensor) -> dict[str, Tensor]:
        """The sum of all gradients, each times its entry of ``by`` [n], by parameter."""
        found: dict[str, Tensor] = {}
        if self.weight is not None:
            found[self.weight] = (self.outputs * by[:, None]).T @ self.inputs
        if self.bias is not None:
            found[self.bias] = by @ self.outputs
        return found

    def scaled(self, by: Mapping[str, Tensor]) -> list[Layer]:
        """Each gradient times ``by``, a weight's being a number a row times one a column."""
        found: list[Layer] = []
        if self.weight is not None:
            rows, columns = split(by[self.weight])
            found.append(Outer(self.inputs * columns, self.outputs * rows, self.weight, None))
        if self.bias is not None:
            found.append(Rows(self.outputs * by[self.bias], self.bias))
        return found

    def only(self, names: frozenset[str]) -> Outer | None:
        """The part that belongs to some parameters."""
        weight = self.weight if self.weight in names else None
        bias = self.bias if self.bias in names else None
        return Outer(self.inputs, self.outputs, weight, bias) if weight or bias else None

    def some(self, rows: slice) -> Outer:
        return Outer(self.inputs[rows], self.outputs[rows], self.weight, self.bias)

    def plus(self, other: Outer) -> Outer:
        return Outer(self.inputs + other.inputs, self.outputs + other.outputs, self.weight, self.bias)

    def over(self, number: int) -> Outer:
        inputs, outputs = self.inputs.cpu() / number, self.outputs.cpu() / number
        return Outer(inputs, outputs, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class Rows:
    """Gradients [n, size] of one parameter as they are."""

    values: Tensor
    name: str

    def gram(self, other: Rows) -> Tensor:
        """[n, m]."""
        return self.values @ other.values.T

    def inner(self, change: Mapping[str, Tensor]) -> Tensor:
        """Inner products [n] with one change of weights; a tensor that it lacks counts as zero."""
        if self.name not in change:
            return self.values.new_zeros(len(self.values))
        return self.values @ change[self.name].flatten()

    def combined(self, by: Tensor) -> dict[str, Tensor]:
        """The sum of all gradients, each times its entry of ``by`` [n], flat, by parameter."""
        return {self.name: by @ self.values}

    def scaled(self, by: Mapping[str, Tensor]) -> list[Layer]:
        """Each gradient times ``by``."""
        return [Rows(self.values * by[self.name].flatten(), self.name)]

    def only(self, names: frozenset[str]) -> Rows | None:
        """The part that belongs to some parameters."""
        return self if self.name in names else None

    def some(self, rows: slice) -> Rows:
        return Rows(self.values[rows], self.name)

    def plus(self, other: Rows) -> Rows:
        return Rows(self.values + other.values, self.name)

    def over(self, number: int) -> Rows:
        return Rows(self.values.cpu() / number, self.name)


Layer = Outer | Rows


def split(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """One positive number a row [out] and a column [in] whose products come near a positive ``matrix``.

    By the means of its logarithms: the best such product in relative error.
    """
    logs = matrix.log()
    return (logs.mean(dim=1) - logs.mean()).exp(), logs.mean(dim=0).exp()


def records_of(layer: Layer) -> int:
    """How many records a layer speaks of."""
    return len(layer.outputs) if isinstance(layer, Outer) else len(layer.values)


def below(parts: Sequence[Layer]) -> Layer:
    """The records of several parts of one layer, one below the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Outer):
        pieces = [part for part in parts if isinstance(part, Outer)]
        inputs = torch.cat([p.inputs for p in pieces])
        return Outer(inputs, torch.cat([p.outputs for p in pieces]), first.weight, first.bias)
    return Rows(torch.cat([part.values for part in parts if isinstance(part, Rows)]), first.name)
