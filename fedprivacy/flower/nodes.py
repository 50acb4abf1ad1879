"""Which client of a game a node plays: the message says so, and the node takes that client's records."""

from __future__ import annotations

from flwr.app import ConfigRecord, Message, RecordDict

from fedprivacy.config.base import UsageError
from fedprivacy.federation.own.deal import Deal, Inputs, Labels

CLIENT = "fedprivacy-client"
"""Key of the client's number in a message to a node."""


def partition(game: Deal, message: Message) -> tuple[Inputs, Labels]:
    """The records [n, ...] and labels [n] that the node which received ``message`` trains on, and nothing else.

    Raises UsageError for a message that no recorder has marked.
    """
    return game.private(client_of(message))


def client_of(message: Message) -> int:
    """The number of the client that the receiver of ``message`` plays."""
    for record in message.content.config_records.values():
        if CLIENT in record:
            return int(record[CLIENT])
    raise UsageError(
        "flower: this message says no client; send it through fedprivacy.flower.recorded(...), and hand the message "
        "itself to partition."
    )


def marked(message: Message, client: int) -> None:
    """Write ``client`` into ``message``.

    Where it has one configuration, as the clipping mods of Flower demand, the number stands in there. Messages of one
    round share their content, so each gets a copy of what is changed.
    """
    content = RecordDict(dict(message.content))
    known = list(content.config_records)
    key = known[0] if len(known) == 1 else CLIENT
    content[key] = ConfigRecord({**dict(content.get(key, {})), CLIENT: client})
    message.content = content
