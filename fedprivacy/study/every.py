"""Every attack and every seat that a configuration allows, found by asking for each. No torch in here."""

from __future__ import annotations

from collections.abc import Iterable

from fedprivacy import catalog
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import wire_of
from fedprivacy.study.seats import Seats, seats_of
from fedprivacy.study.variants import unattacked

SERVERS = ("server", "active-server")


def with_every_attack(config: RunConfig) -> RunConfig:
    """``config`` with each attack that it allows in the place of ``all``. UsageError where there is none."""
    wire = wire_of(unattacked(config))
    able: list[str] = []
    refused: list[UsageError] = []
    for name in catalog.ATTACKS:
        try:
            seats_of(type(config.attack)(attacks=(name,)), config.data, wire)
            able.append(name)
        except UsageError as error:
            refused.append(error)
    if not able:
        raise refused[0]
    return config.model_copy(update={"attack": config.attack.model_copy(update={"attacks": tuple(able)})})


def every_seat(config: RunConfig) -> tuple[str, ...]:
    """One adversary for each seat and power from which the attacks of ``config`` can be made; an eavesdropper reads
    what the server reads, so it stands only for protocols without one. Empty where nothing is sent.

    The peer is client-0. Where the first clients alone are attacked it is the last one, so that all seats attack the
    same clients."""
    peer = f"client-{config.clients - 1 if config.attack.followed else 0}"
    found = [name for name, why in able_seats(config, (*SERVERS, peer, "eavesdropper")).items() if why is None]
    return tuple(name for name in found if name != "eavesdropper" or "server" not in found)


def able_seats(config: RunConfig, names: Iterable[str]) -> dict[str, UsageError | None]:
    """Why the attacks of ``config`` cannot be made from each of these seats; None where they can."""
    wire, found = wire_of(unattacked(config)), dict[str, UsageError | None]()
    for name in names:
        try:
            seats_of(config.attack.model_copy(update={"adversaries": (name,)}), config.data, wire)
            found[name] = None
        except UsageError as error:
            found[name] = error
    return found


def would_attack(config: RunConfig) -> Seats:
    """Who would attack, and from what. UsageError as :func:`fedprivacy.study.resolve.resolve`."""
    return seats_of(config.attack, config.data, wire_of(config))


def silent(protocol: str) -> bool:
    """Whether nothing crosses the wire in a protocol with its own defaults."""
    return wire_of(RunConfig(protocol=protocol)).silent


def between_neighbours(protocol: str) -> bool:
    """Whether clients send to their neighbours in a topology, in a protocol with its own defaults."""
    return any(release.receivers == "neighbours" for release in wire_of(RunConfig(protocol=protocol)).releases)
