"""What each attack adds to a run of five rounds on the small digits: the run with it less the run without."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from measure import Cell, Figures, cpu

import fedprivacy
from fedprivacy.catalog import ATTACKS

ON = ("mutual", "fedavg")
TURNS = 1


def cost(protocol: str, attack: str) -> Figures:
    """Both runs in turn."""

    def run(**more: str) -> None:
        with tempfile.TemporaryDirectory() as out:
            fedprivacy.run(protocol, rounds=5, out=out, workers=1, baselines=False, **more)

    pairs = np.array([(cpu(run), cpu(lambda: run(attack=attack))) for _ in range(TURNS)])
    without, whole = pairs.mean(axis=0)
    return {"cpu_s": float(whole - without), "run_s": float(without)}


def cells(library: Path | None) -> list[Cell]:
    """Every attack on every protocol that allows it."""
    return [Cell(f"{attack} of {protocol}", partial(cost, protocol, attack)) for protocol in ON for attack in ATTACKS]
