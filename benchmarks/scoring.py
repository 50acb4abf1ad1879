"""Scores of a thousand to a million candidates against 64 references of ten classes, read as those of a bank are."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from measure import MEMORY, Cell, Figures, cpu

from fedprivacy import seeds
from fedprivacy.adversary.threat import Float, References, Signals
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.logits import log_softmax, phi
from fedprivacy.attacks.membership.statistics import STATISTICS

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SCORED = ("ratio", "lira-online")
REFERENCES, CLASSES, POPULATION = 64, 10, 10_000


def read(n: int, references: int = REFERENCES) -> tuple[Signals, float]:
    """Signals of one round, and the cpu-seconds that the references' margins took.

    References come one after the other, as those of a bank do, and what is kept of each is its margins.
    """
    draw = seeds.numpy_generator(0, "benchmark", "scoring")
    labels, theirs = (draw.integers(0, CLASSES, count) for count in (n, POPULATION))

    def answers(records: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return 3 * draw.standard_normal((1, records, CLASSES), dtype=np.float32)

    included = np.empty((references, n), dtype=np.bool_)
    margins, population = np.empty((references, 1, n)), np.empty((references, 1, POPULATION))
    spent = 0.0
    for coins, own, others in zip(included, margins, population, strict=True):
        coins[:] = draw.integers(0, 2, n, dtype=np.int8)
        told, of_population = answers(n), answers(POPULATION)
        start = time.process_time()
        own[:], others[:] = phi(told, labels), phi(of_population, theirs)
        spent += time.process_time() - start
    seen = np.ones((1, n), dtype=np.bool_)
    known = References(_nothing, included, _nothing, margins, population)
    target = log_softmax(answers(n)), seen, seen, labels
    return Signals(*target, known, log_softmax(answers(POPULATION)), theirs), spent


def _nothing() -> Float:
    raise AssertionError("nobody reads what references said where their margins are known")


def cost(name: str, n: int) -> Figures:
    """One statistic, the margins of all references in it; the memory is that of the signals too."""
    given, ready = read(n)
    turns = max(1, min(5, 200_000 // n))
    anew = [replace(given) for _ in range(turns)]  # what was derived of signals is remembered with them
    spent = np.mean([cpu(lambda one=one: score_candidates(STATISTICS[name](), one)) for one in anew])
    return {"cpu_s": float(spent) + ready, "margins_s": ready, "whole_mb": MEMORY.whole(), "size": n}


def cells(library: Path | None) -> list[Cell]:
    """A series a statistic."""
    return [
        Cell(f"{name}, {REFERENCES} references, candidates/{n}", partial(cost, name, n))
        for name in SCORED
        for n in SIZES
    ]
