"""Payloads of single protocols: low-rank factors, class prototypes, quantised and entropy-coded labels.

They lie one floor above the wire, so that protocols write them and attacks read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from fedprivacy.wire import Update, register


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
