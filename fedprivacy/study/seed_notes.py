"""The notes of several seeds as one finding carries them: nothing that a seed says is lost, or speaks for another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

NUMBER = re.compile(r"\d+(?:\.\d+)?%?")


def of_seeds(notes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """``notes`` by seed as one list: those of every seed once, the others with the seeds that say them.

    Notes of several seeds that differ in numbers alone are one, with the numbers in the order of the seeds:
    ``in seeds 1 to 3 of 5: carried by round 2 / 1 / 2``.
    """
    every = set.intersection(*map(set, notes)) if notes else set[str]()
    shared: dict[str, None] = {}
    apart: dict[tuple[str, int], dict[int, str]] = {}
    for seed, own in enumerate(notes, 1):
        met: Counter[str] = Counter()
        for note in dict.fromkeys(own):
            if note in every:
                shared[note] = None
                continue
            words = NUMBER.sub("0", note)
            apart.setdefault((words, met[words]), {})[seed] = note
            met[words] += 1
    told = [f"in {_seeds(list(said))} of {len(notes)}: {_one(list(said.values()))}" for said in apart.values()]
    return (*shared, *told)


def why_failed(causes: Sequence[str]) -> str:
    """Why an attack over several seeds gave no number, from the cause of each seed; empty where none failed."""
    return "; ".join(of_seeds([(cause,) if cause else () for cause in causes]))


def of_all(found: Sequence[T | str]) -> list[T] | str:
    """What each seed gave, in order; or why not all did, where a text stands for a seed that failed."""
    whole = [one for one in found if not isinstance(one, str)]
    return whole if len(whole) == len(found) else why_failed([one if isinstance(one, str) else "" for one in found])


def _one(notes: Sequence[str]) -> str:
    """Notes that differ in numbers alone as one: each number that is not the same in all as ``first / second``."""
    columns = zip(*map(NUMBER.findall, notes), strict=True)
    numbers = (" / ".join(column if len(set(column)) > 1 else column[:1]) for column in columns)
    return NUMBER.sub(lambda _: next(numbers), notes[0])


def _seeds(found: Sequence[int]) -> str:
    """Ascending numbers of seeds in words."""
    if len(found) == 1:
        return f"seed {found[0]}"
    if len(found) > 2 and all(b == a + 1 for a, b in pairwise(found)):
        return f"seeds {found[0]} to {found[-1]}"
    return f"seeds {', '.join(map(str, found[:-1]))} and {found[-1]}"
