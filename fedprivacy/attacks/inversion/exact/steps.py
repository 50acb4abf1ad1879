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
from fedprivacy.attacks.inversion.exact.slopes import slopes_by
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
        these records' derivatives by its output [R, m]."""
        now, first, right = copy.deepcopy(self.twin).requires_grad_(), list(self.twin.parameters()), self.made.right
        layer, knowledge = now.get_submodule(self.name), self.knowledge
        assert isinstance(layer, nn.Linear)
        read, bias = list[Tensor](), list[Tensor]()
        slopes = torch.zeros(len(inputs), layer.out_features, dtype=inputs.dtype)
        for step in range(knowledge.steps + 1):
            read.append(F.linear(right[:, :-1], layer.weight.detach()))
            bias.append(layer.bias.detach().clone())
            if step == knowledge.steps:
                break
            slopes += slopes_by(now, self.name, inputs, targets)
            moves = torch.autograd.grad(cross_entropy(now(inputs), targets), list(now.parameters()))
            with torch.no_grad():
                for value, move, start in zip(now.parameters(), moves, first, strict=True):
                    value.sub_(move + knowledge.hold * (value - start), alpha=float(knowledge.lr or 0.0))
        off = read[0] + F.linear(right[:, :-1], self.update[f"{self.name}.weight"]) - read[-1]
        aside = bias[0] + self.update[f"{self.name}.bias"] - bias[-1]
        share = torch.arange(knowledge.steps, dtype=inputs.dtype)[:, None] / knowledge.steps
        met = torch.stack(read[:-1]) + share[:, :, None] * off, torch.stack(bias[:-1]) + share * aside
        return Layer(self.made, *met), slopes
