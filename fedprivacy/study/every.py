"""Every attack and every seat that a configuration allows, found by asking for each. No torch in here."""

from __future__ import annotations

from fedprivacy import catalog
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve
from fedprivacy.study.seats import seats_of


def with_every_attack(config: RunConfig) -> RunConfig:
    """``config`` with each attack that it allows in the place of ``all``. UsageError where there is none."""
    wire = resolve(_unattacked(config)).wire
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
    what the server reads, so it stands only for protocols without one. Empty where nothing is sent."""
    wire = resolve(_unattacked(config)).wire
    found: list[str] = []
    for name in ("server", "active-server", "client-0", "eavesdropper"):
        if name == "eavesdropper" and "server" in found:
            continue
        try:
            seats_of(config.attack.model_copy(update={"adversaries": (name,)}), config.data, wire)
            found.append(name)
        except UsageError:
            continue
    return tuple(found)


def silent(protocol: str) -> bool:
    """Whether nothing crosses the wire in a protocol with its own defaults."""
    return resolve(RunConfig(protocol=protocol)).wire.silent


def _unattacked(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"attack": type(config.attack)()})
