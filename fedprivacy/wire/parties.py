"""The names of the parties on the wire. Importing this costs no torch."""

from __future__ import annotations

SERVER = "server"


def client_name(client: int) -> str:
    """The name of client ``client`` on the wire."""
    return f"client-{client}"


def client_index(party: str) -> int:
    """The number of a client from its name on the wire."""
    return int(party.removeprefix("client-"))
