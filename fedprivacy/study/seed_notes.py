"""The notes of several seeds as one finding carries them: no seed's numbers speak for another's."""

from __future__ import annotations

from collections.abc import Sequence


def of_seeds(notes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """``notes`` by seed as one list: those of every seed as they are, and of one seed what it alone says, so marked.

    That seed is the first that says anything of its own; five seeds would say the same five times with other numbers.
    """
    every = set.intersection(*map(set, notes)) if notes else set()
    for number, own in enumerate(notes, 1):
        if set(own) - every:
            mark = f"in seed {number} of {len(notes)}: "
            return tuple(note if note in every else f"{mark}{note}" for note in dict.fromkeys(own))
    return tuple(dict.fromkeys(notes[0])) if notes else ()
