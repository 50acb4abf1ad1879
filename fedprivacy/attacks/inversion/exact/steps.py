"""Several steps on all records: what the first layer makes of them under the weights that each step met.

A derivative summed over steps is zero where the output was negative in all of them, and large steps turn ReLUs to and
fro. Nobody tells the weights in between. They are simulated on whatever records are at hand, public ones at first and
later those that were found so far, and moved along a straight line so that they end where the message says.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.exact.basis import Layer
from fedprivacy.attacks.inversion.exact.factors import Factors
from fedprivacy.attacks.inversion.gradients import cross_entropy
from fedprivacy.attacks.inversion.knowledge import Knowledge


def together(knowledge: Knowledge) -> bool:
    """Whether a card tells of several plain steps of SGD, each on all records, of known rate."""
    plain = knowledge.lr is not None and knowledge.adam is None and knowledge.clip is None
    return plain and knowledge.steps > 1 and not knowledge.divided


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps from the weights of ``twin`` to what the ``update`` makes of them, whose first layer ``name`` has the
    factors ``made``."""

    twin: nn.Module
    name: str
    knowledge: Knowledge
    update: Mapping[str, Tensor]
    made: Factors

    def on(self, inputs: Tensor, targets: Tensor) -> tuple[Layer, Tensor]:
        """The layer as steps on ``inputs`` [R, ...] with ``targets`` [R, classes] would have met it, and the sum of
        these records' derivatives by its output [R, m].

        What the steps add to its weight is ``A^T X`` with X [R, n] the inputs, so A [R, m] is kept, and the weight of a
        photograph's millions of entries is never written anew.
        """
        layer, knowledge, right = self.twin.get_submodule(self.name), self.knowledge, self.made.right[:, :-1]
        assert isinstance(layer, nn.Linear)
        given, x, lr = _Given(), inputs.flatten(1), float(knowledge.lr or 0.0)
        rest = copy.deepcopy(self.twin, {id(layer): given}).requires_grad_()
        others = list(rest.parameters())
        first = [value.detach().clone() for value in others]
        weight, bias = layer.weight.detach(), layer.bias.detach()
        alike, across, start, before = x @ x.T, right @ x.T, F.linear(x, weight, bias), F.linear(right, weight)
        added, aside = torch.zeros_like(start), torch.zeros_like(bias)
        read, met, slopes = [before], [bias], torch.zeros_like(start)
        for _ in range(knowledge.steps):
            given.output = (start + alike @ added + aside).requires_grad_()
            loss = cross_entropy(rest(inputs), targets)
            pulled, *moves = torch.autograd.grad(loss, [given.output, *others])
            slopes += pulled * len(x)
            added = added - lr * (pulled + knowledge.hold * added)
            aside = aside - lr * (pulled.sum(0) + knowledge.hold * aside)
            with torch.no_grad():
                for value, move, own in zip(others, moves, first, strict=True):
                    value.sub_(move + knowledge.hold * (value - own), alpha=lr)
            read.append(before + across @ added)
            met.append(bias + aside)
        off = before + F.linear(right, self.update[f"{self.name}.weight"]) - read[-1]
        left = bias + self.update[f"{self.name}.bias"] - met[-1]
        share = torch.arange(knowledge.steps, dtype=inputs.dtype)[:, None] / knowledge.steps
        moved = torch.stack(read[:-1]) + share[:, :, None] * off, torch.stack(met[:-1]) + share * left
        return Layer(self.made, *moved), slopes


class _Given(nn.Module):
    """In the place of the first layer: its ``output``, computed otherwise."""

    output: Tensor

    def forward(self, _: Tensor) -> Tensor:
        return self.output
