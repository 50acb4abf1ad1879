"""Membership audits with banks of shadow federations: small digits, five rounds, everything from data to report."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from measure import Cell, Figures, cpu

import fedprivacy

SERIES = {"fedavg": (4, 16, 64), "mutual": (4, 16)}
"""Shadows by protocol."""
ROUNDS = 5


def cost(protocol: str, shadows: int) -> Figures:
    """One worker, no baselines."""
    with tempfile.TemporaryDirectory() as out:
        spent = cpu(
            lambda: fedprivacy.run(
                protocol, attack="membership", shadows=shadows, rounds=ROUNDS, out=out, workers=1, baselines=False
            )
        )
    return {"cpu_s": spent, "size": shadows}


def cells(library: Path | None) -> list[Cell]:
    """A series a protocol."""
    return [
        Cell(f"audit of {protocol}, {ROUNDS} rounds, shadows/{n}", partial(cost, protocol, n))
        for protocol, sizes in SERIES.items()
        for n in sizes
    ]
