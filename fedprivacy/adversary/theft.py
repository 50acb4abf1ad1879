"""Who can copy a client's model from the predictions that it shares. No torch in here."""

from __future__ import annotations

from fedprivacy.adversary.position import Adversary
from fedprivacy.adversary.seats import adversaries, seat
from fedprivacy.adversary.sight import Sight, Wire
from fedprivacy.config.base import UsageError
from fedprivacy.wire.release import MODELS, PREDICTIONS


def theft_seat(sight: Sight) -> Adversary:
    """The adversary, where it can copy single clients' models. Raises UsageError where not, and says why."""
    wire, name = sight.wire, sight.adversary.name
    start = f"--attack theft: protocol {wire.protocol}"
    if not any(r.reads in PREDICTIONS for r in wire.releases):
        why = "sends models themselves, so there is nothing to copy" if wire.model else "shares no predictions"
        raise UsageError(f"{start} {why}; use a protocol that shares predictions.")
    if sight.adversary.power == "active":
        if sight.active_server and wire.answers_queries:
            return sight.adversary
        raise UsageError(f"{start} answers no questions of {name}; use server.")
    if sight.each(PREDICTIONS):
        return sight.adversary
    whole = "its model" if sight.each(MODELS) else "only what is mixed of all clients"
    raise UsageError(f"{start} shows {name} no client's own predictions, but {whole}; use server or eavesdropper.")


def theft_seats(wire: Wire, asked: tuple[str, ...]) -> list[Adversary]:
    """Positions of a run that copy: those asked for, or those of the default set that can."""
    chosen: list[Adversary] = []
    refused: UsageError | None = None
    for adversary in adversaries(wire, asked):
        try:
            chosen.append(theft_seat(seat(adversary, wire)))
        except UsageError as error:
            if asked:
                raise
            refused = error
    if not chosen:
        raise refused or UsageError(f"--attack theft: protocol {wire.protocol} sends nothing; use another protocol.")
    return chosen
