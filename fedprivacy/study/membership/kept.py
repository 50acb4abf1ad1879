"""Columns of targets that were scored for their findings, kept for the stack of the same adversary."""

from __future__ import annotations

from fedprivacy.adversary.threat import Signals
from fedprivacy.attacks.membership.combine import Rule
from fedprivacy.attacks.membership.stack import Columns, columns

ROOM = 2**26
"""Numbers that are kept, half a gigabyte of them; what has no room is scored again."""

Place = tuple[int, str, int, str]
"""Which seed, the title of the observation, which federation of the bank, the name of its target."""


class Kept:
    """Columns by their :data:`Place`, as long as there is room."""

    def __init__(self) -> None:
        self._found: dict[Place, Columns] = {}
        self._left = ROOM

    def made(self, place: Place, signals: Signals, rule: Rule) -> Columns:
        """The columns of ``signals``, kept if there is room."""
        found = columns(signals, rule)
        size = sum(values.size for values in found.values())
        if size <= self._left:
            self._found[place] = found
            self._left -= size
        return found

    def get(self, place: Place) -> Columns | None:
        """What was kept, or None."""
        return self._found.get(place)
