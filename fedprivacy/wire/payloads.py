"""Payloads of single protocols and defenses: low-rank factors, class prototypes, coded labels, masked sums.

They lie one floor above the wire, so that protocols and defenses write them and attacks read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedprivacy.wire.payload import Predictions, Update, register


@register
@dataclass(frozen=True, eq=False)
class LowRank:
    """A model update in factors (Wu et al. 2022, arXiv 2108.13323): per matrix ``left diag(sigma) right``.

    ``left`` [P, K], ``sigma`` [K], ``right`` [K, Q] by tensor name, ``shapes`` the (name, shape) that each product
    is folded back into. ``dense`` holds tensors as they are: vectors, and matrices whose factors would not be
    smaller.
    """

    kind: ClassVar[str] = "low-rank"
    left: Mapping[str, Tensor]
    sigma: Mapping[str, Tensor]
    right: Mapping[str, Tensor]
    dense: Mapping[str, Tensor]
    shapes: Sequence[Sequence[Any]]

    def opened(self) -> Update:
        """The update that the factors stand for: what a receiver works with."""
        tensors = dict(self.dense)
        for name, shape in self.shapes:
            product = (self.left[name] * self.sigma[name]) @ self.right[name]
            tensors[name] = product.reshape(list(shape))
        return Update(tensors)


@register
@dataclass(frozen=True, eq=False)
class Prototypes:
    """Mean features ``means`` [c, d] (float32) of the classes ``classes`` [c] (int16) that a party holds.

    ``counts`` [c] (int32): records behind each mean, where they are sent too; else empty [0].
    """

    kind: ClassVar[str] = "prototypes"
    means: Tensor
    classes: Tensor
    counts: Tensor


@register
@dataclass(frozen=True, eq=False)
class CodedLabels:
    """Quantised class probabilities of a public fold, entropy coded (Sattler et al., arXiv 2012.00632).

    ``code`` [bytes] (uint8); ``records`` N and ``classes`` C of the decoded matrix; ``bits`` of one probability.
    ``delta``: coded against the last labels that the same sender sent to the same receiver, with 1 bit only.
    """

    kind: ClassVar[str] = "coded-labels"
    code: Tensor
    records: int
    classes: int
    bits: int
    delta: bool


@register
@dataclass(frozen=True, eq=False)
class QuantisedPredictions:
    """Probabilities [rows, columns] in uniform levels from 0 to 1, ``bits`` each, packed into bytes row after row."""

    kind: ClassVar[str] = "quantised-predictions"
    codes: Tensor
    rows: int
    columns: int
    bits: int

    def opened(self) -> Predictions:
        """The levels as numbers: what a receiver works with."""
        shifts = torch.arange(0, 8, self.bits, dtype=torch.uint8)
        levels = (self.codes[:, None] >> shifts) & (2**self.bits - 1)
        values = levels.flatten()[: self.rows * self.columns].float() / (2**self.bits - 1)
        return Predictions(values.view(self.rows, self.columns), "probabilities")


@register
@dataclass(frozen=True, eq=False)
class TopPredictions:
    """The largest probabilities of each record: ``classes`` [N, k] (uint8 or int32), ``values`` [N, k] (float32)."""

    kind: ClassVar[str] = "top-predictions"
    classes: Tensor
    values: Tensor
    columns: int

    def opened(self) -> Predictions:
        """Probabilities [N, columns]; what is left of one is spread evenly over the classes that were not sent."""
        rest = (1 - self.values.sum(dim=1, keepdim=True)).clamp_min(0)
        spread = rest / (self.columns - self.values.shape[1])
        filled = spread.expand(-1, self.columns).contiguous()
        return Predictions(filled.scatter(1, self.classes.long(), self.values), "probabilities")


@register
@dataclass(frozen=True, eq=False)
class Masked:
    """Fixed-point values under masks that cancel in the sum over clients: int32, arithmetic modulo 2^32.

    ``of`` and ``form`` say what the sum stands for.
    """

    kind: ClassVar[str] = "masked"
    tensors: Mapping[str, Tensor]
    of: str
    form: str


@register
@dataclass(frozen=True, eq=False)
class RevealedSeeds:
    """What a client tells the server to open a masked sum: its own seed, and those it shares with the ``lost`` [d]."""

    kind: ClassVar[str] = "revealed-seeds"
    own: Tensor
    lost: Tensor
    shared: Tensor
