"""What each adversary can infer a client's label distribution from. No torch in here."""

from __future__ import annotations

from typing import Literal

from fedprivacy.adversary.position import Adversary
from fedprivacy.adversary.seats import adversaries, seat
from fedprivacy.adversary.sight import Sight, Wire
from fedprivacy.config.base import UsageError
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.release import MODELS, PREDICTIONS, PROTOTYPES

Source = Literal["predictions", "models", "prototypes"]


def label_source(sight: Sight) -> Source:
    """What an adversary has of each client. Raises UsageError where it has nothing of a single client."""
    wire, name = sight.wire, sight.adversary.name
    if wire.silent:
        raise nothing(wire)
    if sight.adversary.position == SERVER and not wire.has_server:
        raise UsageError(f"--attack labels: protocol {wire.protocol} has no server; use client-0 or eavesdropper.")
    if sight.each(PREDICTIONS):
        return "predictions"
    if any(map(sight.whole, sight.each(MODELS))):
        return "models"
    if sight.each(PROTOTYPES):
        return "prototypes"
    if sight.each(MODELS):
        raise UsageError(
            f"--attack labels: no whole model of protocol {wire.protocol} crosses the wire in {wire.federation.rounds} "
            "rounds; raise --rounds."
        )
    instead = "another defense" if wire.defended.hides_each else "server or eavesdropper"
    raise UsageError(
        f"--attack labels: {name} sees only what protocol {wire.protocol} mixes of all clients; use {instead}."
    )


def label_seats(wire: Wire, asked: tuple[str, ...]) -> list[tuple[Adversary, Source]]:
    """Passive positions of a run with what they read: those asked for, or those of the default set that can."""
    chosen: list[tuple[Adversary, Source]] = []
    refused: UsageError | None = None
    for adversary in adversaries(wire, asked):
        if adversary.power == "active":
            continue
        try:
            chosen.append((adversary, label_source(seat(adversary, wire))))
        except UsageError as error:
            if asked:
                raise
            refused = refused or error
    if not chosen and wire.silent:
        raise nothing(wire)
    if not chosen:
        raise refused or UsageError("--attack labels reads what passes by and plants nothing; use --adversary server.")
    return chosen


def nothing(wire: Wire) -> UsageError:
    """That nothing is sent."""
    return UsageError(
        f"--attack labels: protocol {wire.protocol} sends nothing, so there is nothing to attack; use another "
        "protocol, or leave --attack out."
    )
