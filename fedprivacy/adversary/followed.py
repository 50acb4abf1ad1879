"""Which clients are attacked, where an attack that follows one client at a time goes after a few alone."""

from __future__ import annotations


def followed(clients: int, number: int | None, me: int | None = None) -> tuple[int, ...]:
    """The first ``number`` of ``clients``, all where that is None; a client that attacks, ``me``, is none."""
    others = [client for client in range(clients) if client != me]
    return tuple(others[:number])
