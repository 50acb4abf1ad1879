"""Membership audits with banks of shadow federations: five rounds, everything from data to report."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from measure import Cell, Figures, cpu

import fedprivacy

SMALL: dict[str, Any] = {"dataset": "digits", "candidates": 150, "public_size": 16, "auxiliary": 150}
"""Digits of 8x8 pixels, the default otherwise; its banks are trained side by side."""
SERIES: list[tuple[str, str, dict[str, Any], tuple[int, ...]]] = [
    ("fedavg", "fedavg", {}, (4, 16, 64)),
    ("mutual", "mutual", {}, (4, 16)),
    ("mutual on 8x8 digits", "mutual", {**SMALL, "model": "mlp-small"}, (16, 64)),
]
"""Name, protocol, settings, and numbers of shadows."""
ROUNDS = 5


def cost(protocol: str, settings: dict[str, Any], shadows: int) -> Figures:
    """One worker, no baselines."""
    with tempfile.TemporaryDirectory() as out:
        how: dict[str, Any] = {"rounds": ROUNDS, "workers": 1, "baselines": False, **settings}
        spent = cpu(lambda: fedprivacy.run(protocol, attack="membership", shadows=shadows, out=out, **how))
    return {"cpu_s": spent, "size": shadows}


def cells(library: Path | None) -> list[Cell]:
    """A series of numbers of shadows each."""
    return [
        Cell(f"audit of {name}, {ROUNDS} rounds, shadows/{n}", partial(cost, protocol, settings, n))
        for name, protocol, settings, sizes in SERIES
        for n in sizes
    ]
