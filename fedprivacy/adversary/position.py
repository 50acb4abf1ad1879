"""Who attacks: where it sits on the wire, and whether it follows the protocol. No numpy in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedprivacy.wire.parties import SERVER

EAVESDROPPER = "eavesdropper"
Power = Literal["passive", "active"]


@dataclass(frozen=True)
class Adversary:
    """A position on the wire and a power.

    ``position`` is ``server``, ``client-3`` or ``eavesdropper``. A passive adversary follows the protocol and reads
    what it receives; an active one may also plant candidates in a public fold or send malicious weights.
    """

    position: str
    power: Power = "passive"

    @classmethod
    def parse(cls, text: str) -> Adversary:
        """``server``, ``active-server``, ``client-2``, ``eavesdropper``. Raises ValueError on anything else."""
        position = text.removeprefix("active-")
        client = position.removeprefix("client-")
        if position not in (SERVER, EAVESDROPPER) and not (client != position and client.isdigit()):
            raise ValueError(f"no adversary '{text}'; known: server, active-server, client-0, eavesdropper")
        return cls(position, "active" if text.startswith("active-") else "passive")

    @property
    def name(self) -> str:
        """The text that :meth:`parse` reads."""
        return f"active-{self.position}" if self.power == "active" else self.position

    @property
    def client(self) -> int | None:
        """The number of the client that it is; None for anybody else."""
        number = self.position.removeprefix("client-")
        return int(number) if number != self.position else None

    def __str__(self) -> str:
        return f"{self.position} ({'active' if self.power == 'active' else 'honest-but-curious'})"


def seat(told: str) -> str:
    """Position and power of an adversary ``told`` as ``str`` tells it: all clients sit alike, as a passive peer.

    Numbers are compared within one seat alone: ``passive server``, ``active server``, ``passive peer``, ``active
    peer``, ``eavesdropper``. Raises ValueError for any other words.
    """
    position, _, power = told.partition(" (")
    known = Adversary.parse(position)
    if power not in ("active)", "honest-but-curious)"):
        raise ValueError(f"'{told}' names no power; known: server (active), client-0 (honest-but-curious)")
    if known.position == EAVESDROPPER:
        return EAVESDROPPER
    return f"{'active' if power == 'active)' else 'passive'} {SERVER if known.position == SERVER else 'peer'}"
