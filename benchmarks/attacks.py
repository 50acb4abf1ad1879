"""What each attack adds to a run of five rounds on the small digits: the run with it less the run without."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from measure import Cell, Figures, cpu

import fedprivacy

ON = {"mutual": ("labels", "theft", "membership", "inversion"), "fedavg": ("labels", "membership", "inversion")}
"""Attacks by protocol: theft needs predictions."""
TURNS = 1


def cost(protocol: str, attack: str) -> Figures:
    """Both runs in turn, after one that does not count."""

    def run(**more: str) -> None:
        with tempfile.TemporaryDirectory() as out:
            fedprivacy.run(protocol, rounds=5, out=out, workers=1, baselines=False, **more)

    run(attack=attack)
    pairs = np.array([(cpu(run), cpu(lambda: run(attack=attack))) for _ in range(TURNS)])
    without, whole = pairs.mean(axis=0)
    return {"cpu_s": float(whole - without), "run_s": float(without)}


def cells(library: Path | None) -> list[Cell]:
    """Every attack, from predictions and from weights."""
    pairs = [(protocol, attack) for protocol, attacks in ON.items() for attack in attacks]
    return [Cell(f"{attack} of {protocol}", partial(cost, protocol, attack)) for protocol, attack in pairs]
