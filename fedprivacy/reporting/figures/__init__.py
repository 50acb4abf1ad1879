"""Figures of a report as PNG bytes, drawn without a display and without matplotlib's global state."""

from __future__ import annotations

from fedprivacy.reporting.figures.claim import ClaimRow, claim_figure
from fedprivacy.reporting.figures.frontier import frontier_figure
from fedprivacy.reporting.figures.leakage import leakage_figure
from fedprivacy.reporting.figures.pictures import pictures_figure
from fedprivacy.reporting.figures.roc import RocSeries, roc_figure

__all__ = [
    "ClaimRow",
    "RocSeries",
    "claim_figure",
    "frontier_figure",
    "leakage_figure",
    "pictures_figure",
    "roc_figure",
]
