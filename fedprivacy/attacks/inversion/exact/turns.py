"""Steps on one record each, put in their order: the ReLUs of a record are those of the weights that its step met.

Records read from the sum of such steps come in no order, and held against the weights that were sent they seem wrong as
soon as the steps are large. So the steps are taken one after the other, each on the record whose ReLUs agree most with
the weights as they then are (compare Geiping et al. 2020, who are told the order). Small steps turn no ReLU: among
records that agree alike the next one is that whose derivatives are nearest to those of a step on it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.exact.slopes import off, told_labels
from fedprivacy.attacks.inversion.gradients import cross_entropy, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge

WRONG = 0.9
"""Share of ReLUs below which a record had no step under the weights at hand."""
TIED = 2
"""ReLUs by which records agree alike: an output near zero has either sign after rounding."""


@dataclass(frozen=True, eq=False)
class Turns:
    """Places ``order`` [B] of records by their steps, their ``labels`` [B] in that order, and the share of ReLUs that
    agree, each at its own step: ``match`` of all, ``least`` of the record that agrees least."""

    order: Tensor
    labels: Tensor
    match: float
    least: float


def one_by_one(knowledge: Knowledge, records: int) -> bool:
    """Whether a card tells of one plain step of SGD on each of ``records``, of known rate."""
    plain = knowledge.lr is not None and knowledge.adam is None and knowledge.clip is None
    return plain and knowledge.epochs == 1 and knowledge.batch == 1 and knowledge.records == records > 1


def in_turn(twin: nn.Module, name: str, knowledge: Knowledge, inputs: Tensor, slopes: Tensor, zero: Tensor) -> Turns:
    """The steps behind records ``inputs`` [B, ...] with derivatives ``slopes`` [B, m], zero at the rows ``zero``.

    ``twin`` holds the weights that were sent and stays as it is; ``name`` is its first layer. Once none of the records
    that are left agrees, they are no records, and no further step is taken.
    """
    now = copy.deepcopy(twin).requires_grad_()
    layer, start = now.get_submodule(name), [value.detach().clone() for value in now.parameters()]
    assert isinstance(layer, nn.Linear)
    rate, left, order, labels = float(knowledge.lr or 0.0), list(range(len(inputs))), list[int](), list[Tensor]()
    agreed = list[float]()
    while left:
        with torch.no_grad():
            active = F.linear(inputs[left].flatten(1), layer.weight, layer.bias) > 0
        agreement = (active != zero[left]).double().mean(1)
        if float(agreement.max()) < WRONG:
            break
        tied = (agreement >= agreement.max() - TIED / active.shape[1]).nonzero().flatten()
        if len(tied) > 1:
            some = [left[place] for place in tied.tolist()]
            kept = rate * (1 - rate * knowledge.hold) ** (len(left) - 1)
            apart = off(now, name, inputs[some], slopes[some] / kept, knowledge.classes)
            tied = tied[apart.argmin()]
        agreed.append(float(agreement[tied]))
        order.append(left.pop(int(tied)))
        one = inputs[order[-1:]]
        labels.append(told_labels(now, name, one, slopes[order[-1:]], knowledge.classes))
        loss = cross_entropy(now(one), one_hot(labels[-1], knowledge.classes, one.dtype))
        moves = torch.autograd.grad(loss, list(now.parameters()))
        with torch.no_grad():
            for value, move, first in zip(now.parameters(), moves, start, strict=True):
                value.sub_(move + knowledge.hold * (value - first), alpha=rate)
    if left:
        labels.append(told_labels(now, name, inputs[left], slopes[left], knowledge.classes))
    agreed += [0.0] * len(left)
    return Turns(torch.tensor([*order, *left]), torch.cat(labels), sum(agreed) / len(inputs), min(agreed))
