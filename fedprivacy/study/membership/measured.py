"""What an adversary did, as findings beside those of its scores: figures that are no statistic and judge nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedprivacy.judge.comparison import ALL
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label
from fedprivacy.metrics.intervals import mean_interval
from fedprivacy.metrics.scores import Float

DONE = "what was done"
"""Stands in the place of a statistic."""


def measured_findings(figures: Sequence[Mapping[str, float]], label: Label) -> list[Finding]:
    """One finding a figure that every seed has, from those of each: the mean, with Student's interval over seeds."""
    names = [name for name in figures[0] if all(name in one for one in figures)] if figures else []
    return [_finding(name, np.array([one[name] for one in figures]), label) for name in names]


def _finding(name: str, values: Float, label: Label) -> Finding:
    several = len(values) > 1
    found = mean_interval(values, label.level) if several else None
    return Finding(
        "membership",
        label.observation,
        DONE,
        label.adversary,
        ALL,
        name,
        float(values.mean()),
        None,
        None if found is None else found.low,
        None if found is None else found.high,
        label.level,
        len(values),
        per_seed=tuple(map(float, values)) if several else (),
    )
