"""What one client does in a run, as a list of events that can be followed from outside.

An adversary that simulates a client needs the protocol's own losses and schedule, with what the client was sent put
in. A protocol says it in a few kinds of events, and its own rounds are built of the same losses, so the two cannot
drift apart: a replay with the true coins and the true seeds gives the client's own messages, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from fedprivacy.training.learner import Loss, Records, label_loss
from fedprivacy.wire.payload import Predictions

TOGETHER = -1
"""Key of what stands for all peers at once: their mean, or a consensus."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What one client was sent in one round, and the public fold of it.

    ``fold``: the records, with labels where the protocol delivers them. ``answered``: the client's own predictions
    arrived. ``predictions``: those it received, by peer, or under :data:`TOGETHER`. ``weights``: tensors that it was
    told to take over, by the purpose of their message. ``unseen``: peers of which it was told newer predictions than
    the observer knows of, who has their first ones here.
    """

    round: int
    fold: Records
    answered: bool
    predictions: Mapping[int, Predictions]
    weights: Mapping[str, Mapping[str, Tensor]]
    unseen: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Private:
    """The private phase of ``round``: the configuration's passes over the client's own records of that round."""

    round: int
    loss: Loss = label_loss


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit of public records: ``Learner.fit`` with these arguments.

    ``own_moments``: continue the optimiser of the private phase, instead of a new one that leaves it as it was.
    """

    records: Records
    loss: Loss
    epochs: int
    name: str
    batch_size: int | None = None
    shuffle: bool = False
    even: bool = True
    own_moments: bool = False
    round: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """The client predicts on the public fold of ``round`` and sends."""

    round: int


@dataclass(frozen=True, eq=False)
class Renewal:
    """The client predicts on the public fold of ``round`` once more, and those who act after it are told."""

    round: int


@dataclass(frozen=True, eq=False)
class Upload:
    """The client sends weights in ``round``, as they are now."""

    round: int


@dataclass(frozen=True, eq=False)
class TakeOver:
    """Some tensors are replaced by others that it was sent. ``forget``: the optimiser of the private phase too."""

    tensors: Mapping[str, Tensor]
    forget: bool = False


@dataclass(frozen=True)
class Restart:
    """Back to the start, with a new optimiser."""


Event = Private | Fit | Answer | Renewal | Upload | TakeOver | Restart


@runtime_checkable
class TellsCourse(Protocol):
    """A protocol whose clients can be followed from what they were sent."""

    def course(self, heard: Mapping[int, Heard]) -> Iterator[Event]:
        """The events of one client's run, in order, from what it was sent by round (0: before the first)."""


def rounds_of(heard: Mapping[int, Heard]) -> list[Heard]:
    """The rounds that the client took part in, as far as its own messages tell, in order."""
    return [heard[round] for round in sorted(heard) if round > 0 and heard[round].answered]
