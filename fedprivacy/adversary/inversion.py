"""What each adversary can reconstruct records from. No torch in here.

The update of one client, where the weights that it started from are known; the mean update of all; updates of a model
that an active server made; or a client's predictions, which hold no gradient.
"""

from __future__ import annotations

from typing import Literal

from fedprivacy.adversary.position import Adversary
from fedprivacy.adversary.seats import adversaries, default_adversaries, seat
from fedprivacy.adversary.sight import Sight, Wire
from fedprivacy.config.base import UsageError
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.release import MODELS, PREDICTIONS, Release

Source = Literal["updates", "aggregate", "imprint", "predictions"]
"""Every client's update; the mean of all; updates of a malicious model; predictions on public records."""


def from_known_weights(release: Release) -> bool:
    """Whether what is sent is an update from weights that its receivers know."""
    return release.reads in MODELS and release.reference != ""


def trains_on_labels(release: Release) -> bool:
    """Whether local training starts out as plain cross-entropy of the private records."""
    return release.loss != "more"


def imprintable(wire: Wire) -> bool:
    """Whether clients train whatever whole model the server sends them, on labels alone."""
    sent = wire.model
    return (
        sent is not None
        and sent.trains_what_it_is_sent
        and trains_on_labels(sent)
        and sent.reference == "received"
        and sent.whole_after == 1
        and not sent.architecture
    )


def mean_of_a_round(release: Release) -> bool:
    """Whether the server's message is the mean of one round's models, so that it tells their mean update."""
    return release.reads in MODELS and release.of in ("mean", "weighted") and release.whole_after == 1


def inversion_source(sight: Sight) -> Source:
    """What an adversary reads. Raises UsageError where it has nothing to invert, and says what to use instead."""
    wire, name = sight.wire, sight.adversary.name
    start = f"--attack inversion: protocol {wire.protocol}"
    if wire.silent:
        raise UsageError(f"{start} sends nothing, so there is nothing to invert; use another protocol.")
    sent = wire.model
    invertible = sent is not None and from_known_weights(sent)
    if not invertible and not any(r.reads in PREDICTIONS for r in wire.releases):
        raise UsageError(
            f"{start} sends neither predictions on public records nor updates from weights that others know; use "
            "--attack labels or membership."
        )
    if sight.adversary.power == "active":
        if sight.adversary.position != SERVER or not imprintable(wire):
            raise UsageError(
                f"--adversary {name}: the active attack is a server that sends a malicious model, where clients train "
                "on labels alone whatever they are sent; use --adversary server."
            )
        return "imprint"
    updates = [r for r in sight.each(MODELS) if from_known_weights(r)]
    if any(map(trains_on_labels, updates)):
        return "updates"
    if sight.each(PREDICTIONS):
        return "predictions"
    if updates:
        return "updates"
    if invertible and any(map(mean_of_a_round, sight.together(MODELS))):
        return "aggregate"
    if not invertible:
        raise UsageError(f"{start} shows {name} no client's own predictions; use another adversary.")
    raise UsageError(f"{start} shows {name} no client's update and no mean of one round; use server.")


def inversion_seats(wire: Wire, asked: tuple[str, ...]) -> list[tuple[Adversary, Source]]:
    """Positions of a run with what they read: those asked for, or the honest-but-curious server."""
    if asked:
        chosen = adversaries(wire, asked)
    else:
        known = default_adversaries(wire)
        chosen = [Adversary(SERVER if SERVER in known or not known else known[0])]
    return [(adversary, inversion_source(seat(adversary, wire))) for adversary in chosen]
