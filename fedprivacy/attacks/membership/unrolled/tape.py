"""What a forward pass leaves for the reverse sweep: an entry for each thing that happened to a client's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedprivacy.attacks.membership.unrolled.optimisers import State
from fedprivacy.attacks.membership.unrolled.parameters import Linearised
from fedprivacy.federation.course import Restart


@dataclass(frozen=True, eq=False)
class Step:
    """One optimiser step: what a product with the derivative of its gradient needs, and the states around it."""

    gradient: Linearised
    before: State
    after: State
    number: int
    own: bool


@dataclass(frozen=True, eq=False)
class Told:
    """An answer of ``round``: logits with their graph from the leaf ``w``."""

    w: Tensor
    logits: Tensor
    round: int


@dataclass(frozen=True, eq=False)
class Kept:
    """Some weights were replaced: 1 where they stayed [P]."""

    kept: Tensor
    forget: bool


@dataclass(frozen=True)
class Fresh:
    """An optimiser began: the private one (``own``) or that of a public fit."""

    own: bool


Entry = Step | Told | Kept | Fresh | Restart


@dataclass(frozen=True, eq=False)
class Pass:
    """A finished forward pass: answers by round [N, C], and the tape for :func:`adjoint.derivatives`.

    ``sections`` of the tape, one an event, each made when it is asked for where it would not fit into memory.
    """

    answers: Mapping[int, Tensor]
    sections: Sequence[Callable[[], Sequence[Entry]]] = ()
    coins: Tensor = field(default_factory=lambda: torch.empty(0))
