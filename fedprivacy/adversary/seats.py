"""Where an adversary can sit, and which seats a run reports unless told otherwise. No torch in here."""

from __future__ import annotations

from fedprivacy.adversary.position import EAVESDROPPER, Adversary
from fedprivacy.adversary.sight import Sight, Wire
from fedprivacy.config.base import UsageError
from fedprivacy.wire.parties import SERVER


def default_adversaries(wire: Wire) -> tuple[str, ...]:
    """The positions that a run without --adversary reports, of those that receive anything."""
    if wire.silent:
        return ()
    told = any(release.receivers != SERVER for release in wire.releases)
    peer = ("client-0",) if told and wire.federation.clients > 1 else ()
    if not wire.has_server:
        return (*peer, EAVESDROPPER)
    if wire.answers_queries:
        return (f"active-{SERVER}", SERVER)
    return (SERVER, *peer)


def adversaries(wire: Wire, asked: tuple[str, ...]) -> list[Adversary]:
    """Those asked for, or the default ones. UsageError for a name that is no position."""
    try:
        return [Adversary.parse(name) for name in asked or default_adversaries(wire)]
    except ValueError as error:
        raise UsageError(f"--adversary: {error}.") from None


def seat(adversary: Adversary, wire: Wire) -> Sight:
    """What ``adversary`` sees. UsageError where there is no such client."""
    sight = Sight(adversary, wire)
    clients = wire.federation.clients
    if sight.me is not None and sight.me >= clients:
        raise UsageError(f"--adversary {adversary.name}: there are {clients} clients, 0 to {clients - 1}.")
    return sight
