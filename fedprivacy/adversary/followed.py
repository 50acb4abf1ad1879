"""Which clients are attacked, where an attack that follows one client at a time goes after a few alone."""

from __future__ import annotations

from fedprivacy.config.run import RunConfig


def followed(config: RunConfig, me: int | None = None) -> tuple[int, ...]:
    """The first ``attack.followed`` clients, all where that is unsaid; a client that attacks, ``me``, is none."""
    others = [client for client in range(config.clients) if client != me]
    return tuple(others[: config.attack.followed])
