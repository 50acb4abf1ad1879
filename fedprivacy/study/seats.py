"""Who attacks in a run, and from what: every adversary with each thing that it reads. UsageError where one has nothing.

No torch in here: all of it follows from what crosses the wire as it is declared.
"""

from __future__ import annotations

from dataclasses import dataclass

from fedprivacy import catalog, parts
from fedprivacy.adversary.inversion import Source as InversionSource
from fedprivacy.adversary.inversion import inversion_seats
from fedprivacy.adversary.labels import Source as LabelSource
from fedprivacy.adversary.labels import label_seats
from fedprivacy.adversary.observations import PASSIVE, observable
from fedprivacy.adversary.position import Adversary
from fedprivacy.adversary.seats import adversaries, seat
from fedprivacy.adversary.sight import Wire
from fedprivacy.adversary.theft import theft_seats
from fedprivacy.attacks.membership.headline import asked_for, declared
from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.config.run import AttackConfig, DataConfig
from fedprivacy.study import check


@dataclass(frozen=True)
class Seats:
    """By attack, the adversaries that make it; empty where it is not asked for.

    ``observations``: each adversary with every membership observation that it makes; ``labels`` and ``inversion``:
    each adversary with what it reads; ``theft``: those that copy models.
    """

    observations: tuple[tuple[Adversary, str], ...] = ()
    labels: tuple[tuple[Adversary, LabelSource], ...] = ()
    theft: tuple[Adversary, ...] = ()
    inversion: tuple[tuple[Adversary, InversionSource], ...] = ()

    def observed_by(self, adversary: Adversary) -> tuple[str, ...]:
        """The membership observations of one adversary, in order."""
        return tuple(name for other, name in self.observations if other == adversary)

    @property
    def observers(self) -> tuple[Adversary, ...]:
        """The adversaries that make membership observations, in order."""
        return tuple(dict.fromkeys(adversary for adversary, _ in self.observations))


def seats_of(attack: AttackConfig, data: DataConfig, wire: Wire) -> Seats:
    """The seats of each attack that is asked for. UsageError where an attack, or an adversary asked for, has none."""
    if attack.attacks and wire.silent:
        raise UsageError(
            f"--attack {attack.attacks[0]}: protocol {wire.protocol} sends nothing, so there is nothing to attack; "
            f"use {' or '.join(catalog.sending()[:2])}, or leave --attack out."
        )
    asked = attack.adversaries
    labels = label_seats(wire, asked) if "labels" in attack.attacks else []
    theft = theft_seats(wire, asked) if "theft" in attack.attacks else []
    inversion: list[tuple[Adversary, InversionSource]] = []
    if "inversion" in attack.attacks:
        check.inversion(attack.inversion, wire.federation.rounds)
        inversion = inversion_seats(wire, asked)
        if data.auxiliary < 2:
            raise UsageError("--attack inversion compares with public images: --auxiliary must be at least 2.")
    observations: list[tuple[Adversary, str]] = []
    if attack.shadows and "membership" not in attack.attacks:
        raise UsageError(
            f"--shadows {attack.shadows}: only the membership attack reads shadow federations; add "
            "--attack membership, or leave --shadows out."
        )
    if "membership" in attack.attacks:
        check.membership(attack, data.inclusion)
        observations = _observations(attack, wire)
    return Seats(tuple(observations), tuple(labels), tuple(theft), tuple(inversion))


def _observations(attack: AttackConfig, wire: Wire) -> list[tuple[Adversary, str]]:
    """Adversaries, each with every observation that it can make and that is asked for.

    An active server can make all that a passive one makes. By default it makes of those the one that carries its
    headline alone; asked for, those that no other adversary of the run makes in the same place.
    """
    asked = attack.observations
    seats = [seat(adversary, wire) for adversary in adversaries(wire, attack.adversaries)]
    foreign = [name for name in asked if parts.outside(name) or name in parts.known("observation")]
    if foreign and len(foreign) == len(asked):
        able: list[tuple[Adversary, str]] = []
    else:
        able = [(sight.adversary, name) for sight in seats for name in observable(sight)]
    for name in foreign:
        parts.exists("observation", name, ())
        able += [(sight.adversary, name) for sight in seats if sight.adversary.power == "passive"]
    names = list(dict.fromkeys(name for _, name in able))
    for name in asked:
        if name not in names:
            raise UsageError(f"--observations: no adversary of this run makes '{name}'. {near_miss(name, names)}")
    chosen = [pair for pair in able if not asked or pair[1] in asked]
    passive = {(adversary.position, name) for adversary, name in chosen if adversary.power == "passive"}

    def spared(adversary: Adversary, name: str) -> bool:
        if adversary.power == "passive" or name not in PASSIVE:
            return False
        carrying = declared([other for one, other in chosen if one == adversary], asked_for(attack))
        return carrying not in (None, name) and (not asked or (adversary.position, name) in passive)

    return [pair for pair in chosen if not spared(*pair)]
