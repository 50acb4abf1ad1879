"""What one party sends another: typed payloads, each a frozen dataclass of tensors and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from torch import Tensor


class Payload(Protocol):
    """A frozen dataclass whose fields are tensors, mappings of tensors, or plain JSON values."""

    kind: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outputs of one model on a public fold, one row a record, in the order of the fold.

    ``form``: ``probabilities`` or ``logits`` [N, C] (or [N, 1] for one sigmoid), ``losses`` [N, 1] (cross-entropy
    on the labelled fold, nats), ``labels`` [N, 1] (argmax class).
    """

    kind: ClassVar[str] = "predictions"
    values: Tensor
    form: Literal["probabilities", "logits", "losses", "labels"]


@dataclass(frozen=True, eq=False)
class Weights:
    """Parameters and buffers of a model, or of one group of its layers."""

    kind: ClassVar[str] = "weights"
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Update:
    """End weights minus start weights of a client's local training."""

    kind: ClassVar[str] = "update"
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Scalars:
    """Named numbers that leave a party: a validation accuracy, a record count."""

    kind: ClassVar[str] = "scalars"
    tensors: Mapping[str, Tensor]


@runtime_checkable
class Compact(Protocol):
    """A payload that takes less room on the wire than what its receiver works with."""

    def opened(self) -> Payload:
        """What the receiver works with."""


PayloadT = TypeVar("PayloadT", bound=Payload)


KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (Predictions, Weights, Update, Scalars)}
"""Payload types by name; a protocol with a payload of its own adds it through :func:`register`."""


def register(kind: type[PayloadT]) -> type[PayloadT]:
    """Make a payload type one that can be sent and decoded (class decorator).

    A class that is defined again, as a notebook does, takes the place of its former self. Raises ValueError where
    another has its name.
    """
    if kind.kind in KINDS and not registered(kind):
        raise ValueError(f"two payload types are named {kind.kind!r}")
    KINDS[kind.kind] = kind
    return kind


def registered(kind: type[Payload]) -> bool:
    """Whether a payload type, or its former self, was made known."""
    known = KINDS.get(kind.kind)
    return known is not None and (known.__module__, known.__qualname__) == (kind.__module__, kind.__qualname__)
