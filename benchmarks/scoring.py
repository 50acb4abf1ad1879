"""Scores of a thousand to a million candidates against 64 references of ten classes, in float32 as files have them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from measure import MEMORY, Cell, Figures, cpu

from fedprivacy import seeds
from fedprivacy.adversary.threat import References, Signals
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.logits import log_softmax
from fedprivacy.attacks.membership.statistics import STATISTICS

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SCORED = ("ratio", "lira-online")
REFERENCES, CLASSES, POPULATION = 64, 10, 10_000


def signals(n: int, references: int = REFERENCES) -> Signals:
    """Of one round, made row by row so that the making adds nothing to the peak."""
    draw = seeds.numpy_generator(0, "benchmark", "scoring")

    def answers(models: int, records: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        found = np.empty((models, 1, records, CLASSES), dtype=np.float32)
        for one in found:
            draw.standard_normal(out=one, dtype=np.float32)
            one *= 3
        return found

    coins = np.empty((references, n), dtype=np.bool_)
    for row in coins:
        row[:] = draw.integers(0, 2, n, dtype=np.int8)
    seen = np.ones((1, n), dtype=np.bool_)
    return Signals(
        log_softmax(answers(1, n)[0]),
        seen,
        seen,
        draw.integers(0, CLASSES, n),
        References(answers(references, n), coins, answers(references, POPULATION)),
        log_softmax(answers(1, POPULATION)[0]),
        draw.integers(0, CLASSES, POPULATION),
    )


def cost(name: str, n: int) -> Figures:
    """One statistic; the memory is that of the signals too."""
    given = signals(n)
    held = MEMORY.peak()
    turns = max(1, min(5, 200_000 // n))
    spent = np.mean([cpu(lambda: score_candidates(STATISTICS[name](), given)) for _ in range(turns)])
    return {"cpu_s": float(spent), "memory_mb": MEMORY.peak(), "of_input_mb": held, "size": n}


def cells(library: Path | None) -> list[Cell]:
    """A series a statistic."""
    return [
        Cell(f"{name}, {REFERENCES} references, candidates/{n}", partial(cost, name, n))
        for name in SCORED
        for n in SIZES
    ]
