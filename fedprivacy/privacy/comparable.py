"""Whether a claim may be held against what coins measure, and as which epsilon and delta.

A bound speaks of the unit and the neighbouring relation that its coins play: a record in or out (add-remove), a
record or its twin (replace-one), a client's records or other records in their place (replace-one for clients). A claim
about something else is brought to that game where a proof exists, and refused with the reason where none does:

- add-remove gives replace-one at (2 epsilon, (1 + e^epsilon) delta): one out, another in (Dwork and Roth 2014);
- replacing all records of a client by any others covers one record in, out, or changed;
- a claim about one record says nothing useful about all records of a client, nor replace-one about add-remove.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedprivacy.privacy.closed_forms import replace_one
from fedprivacy.privacy.events import Relation, Unit


@dataclass(frozen=True)
class Game:
    """What one coin decides."""

    unit: Unit
    relation: Relation

    def __str__(self) -> str:
        return f"{self.unit}, {self.relation}"


@dataclass(frozen=True)
class Comparable:
    """What a claim says about the game that is played; ``how`` is empty where it is about that game anyway."""

    epsilon: float
    delta: float
    how: str = ""


class Incomparable(ValueError):
    """A claim and a bound speak about different things; says which, and what would fit."""


def comparable(claimed: Game, epsilon: float, delta: float, played: Game) -> Comparable:
    """The claim ``(epsilon, delta)`` about ``claimed`` as a claim about ``played``. Raises Incomparable."""
    if claimed == played:
        return Comparable(epsilon, delta)
    if claimed.unit == "record" and played.unit == "client":
        raise Incomparable(
            "the claim is about one record and each coin decides all records of a client; use record coins "
            "(--coins record)"
        )
    if claimed.relation == "add-remove" and (played.relation == "replace-one" or claimed.unit == "client"):
        twice, more = replace_one(epsilon, delta)
        if more >= 1:
            raise Incomparable(f"brought from {claimed} to {played} the claim's delta reaches 1, which says nothing")
        return Comparable(twice, more, f"claim for {claimed} brought to {played}: 2 epsilon, (1 + e^epsilon) delta")
    if claimed.unit == "client" and played.unit == "record":
        return Comparable(epsilon, delta, f"claim for {claimed} covers {played}: all records of a client may change")
    other = "replace-one gives no add-remove figure; use pair coins" if claimed.unit == "record" else "none follows"
    raise Incomparable(f"the claim is for {claimed} and the coins play {played}: {other}")
