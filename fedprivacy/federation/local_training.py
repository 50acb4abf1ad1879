"""One client's part of a round by itself, so that whoever knows the rules can play a client on records of its choice.

An adversary plays clients to learn what their training does to a model; a dishonest server sends one what it likes.
Both run the protocol's own code: its loss, terms, schedule and form of message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fedprivacy.config.federation import FederationSettings
from fedprivacy.federation.environment import Environment, FederationState, HistoryRow, Part
from fedprivacy.federation.interfaces import FederatedProtocol
from fedprivacy.wire.payload import Payload


@dataclass(frozen=True, eq=False)
class LocalWork:
    """What local training leaves behind: the parts of the state that it changes, and the message with the weights.

    ``payload`` is what the client hands to the channel: weights, a group of them, or an update in any form.
    """

    parts: Mapping[str, Part]
    history: Sequence[HistoryRow]
    payload: Payload


@runtime_checkable
class TrainsLocally(FederatedProtocol, Protocol):
    """A protocol whose clients train what they are sent and send weights, or a change of them."""

    def held(self, client: int) -> str:
        """Name of the part that holds the model which ``client`` receives, trains and sends."""

    def local(self, state: FederationState, round: int, env: Environment, client: int) -> LocalWork:
        """Local training of ``client`` in ``round`` from ``state``; nothing is sent, and no other client is touched."""


@runtime_checkable
class MixesModels(Protocol):
    """A protocol without a server: a client's next model is mixed from its own and those that it hears."""

    def mixed(self, settings: FederationSettings, client: int, own: Part, heard: Mapping[int, Part]) -> Part:
        """The model that ``client`` holds after it has heard others, by their number."""
