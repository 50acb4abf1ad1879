"""Which client of a game a node plays: the message says so, and the node takes that client's records."""

from __future__ import annotations

from flwr.app import ConfigRecord, Message, RecordDict

from fedprivacy.config.base import UsageError
from fedprivacy.federation.own.deal import Deal, Inputs, Labels

CLIENT, SHADOW = "fedprivacy-client", "fedprivacy-shadow"
"""Keys of the numbers of a client and of a shadow federation in a message to a node."""


def partition(game: Deal, message: Message) -> tuple[Inputs, Labels]:
    """The records [n, ...] and labels [n] that the node which received ``message`` trains on, and nothing else.

    Those of a shadow of ``game`` where the server records one. Raises UsageError for a message that no recorder has
    marked.
    """
    shadow = _number(message, SHADOW)
    return (game if shadow is None else game.shadow(shadow)).private(client_of(message))


def client_of(message: Message) -> int:
    """The number of the client that the receiver of ``message`` plays."""
    found = _number(message, CLIENT)
    if found is not None:
        return found
    raise UsageError(
        "flower: this message says no client; send it through fedprivacy.flower.recorded(...), and hand the message "
        "itself to partition."
    )


def marked(message: Message, client: int, shadow: int | None = None) -> None:
    """Write ``client``, and ``shadow`` where it is one, into ``message``.

    Where it has one configuration, as the clipping mods of Flower demand, the number stands in there. Messages of one
    round share their content, so each gets a copy of what is changed.
    """
    content = RecordDict(dict(message.content))
    known = list(content.config_records)
    key = known[0] if len(known) == 1 else CLIENT
    told = {CLIENT: client} if shadow is None else {CLIENT: client, SHADOW: shadow}
    content[key] = ConfigRecord({**dict(content.get(key, {})), **told})
    message.content = content


def _number(message: Message, key: str) -> int | None:
    found = [record[key] for record in message.content.config_records.values() if key in record]
    return int(found[0]) if found else None
