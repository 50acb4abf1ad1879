"""Which clients are attacked, where an attack that follows one client at a time goes after a few alone."""

from __future__ import annotations

from fedprivacy.adversary.position import Adversary
from fedprivacy.adversary.sight import Sight, Wire


def followed(adversary: Adversary, wire: Wire, number: int | None) -> tuple[int, ...]:
    """The first ``number`` of the clients that ``adversary`` hears of, all where that is None; itself is none."""
    return Sight(adversary, wire).heard[:number]
