"""How the cost of a whole federation grows with clients, rounds and parameters: FedAvg in a folder, checkpoints too."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from federations import noise, options
from measure import Cell, Figures, cpu

from fedprivacy import catalog
from fedprivacy.federation import engine

CLIENTS, ROUNDS, HIDDEN = (2, 5, 10, 30, 100), (2, 5, 10, 30, 100), (16, 64, 256, 1024, 4096)
TURNS, WARM = 2, 30
"""Turns of small ones, after one that does not count; from where on a federation is its own warming up."""


def cost(clients: int, rounds: int, hidden: int, size: int) -> Figures:
    """A federation from start to end; ``size`` is what grows."""

    def run() -> None:
        protocol = catalog.protocol("fedavg", options("fedavg"))
        with tempfile.TemporaryDirectory() as place:
            engine.run(protocol, noise(clients, rounds, hidden), Path(place))

    if size < WARM:
        run()
    return {"cpu_s": float(np.mean([cpu(run) for _ in range(TURNS if size < WARM else 1)])), "size": size}


def cells(library: Path | None) -> list[Cell]:
    """Three series."""
    sizes = {hidden: 795 * hidden + 10 for hidden in HIDDEN}
    return [
        *(Cell(f"FedAvg, 5 rounds, clients/{n}", partial(cost, n, 5, 64, n)) for n in CLIENTS),
        *(Cell(f"FedAvg, 5 clients, rounds/{n}", partial(cost, 5, n, 64, n)) for n in ROUNDS),
        *(Cell(f"FedAvg, 3 clients, 3 rounds, parameters/{n}", partial(cost, 3, 3, h, n)) for h, n in sizes.items()),
    ]
