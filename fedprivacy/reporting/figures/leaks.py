"""Leakage over accuracy of several runs: one point a run and seat, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from fedprivacy.judge import comparison
from fedprivacy.judge.result import OWN_ACCURACY, RunResult, main_metric
from fedprivacy.reporting.figures.over_accuracy import Point, over_accuracy
from fedprivacy.reporting.findings import metric_name
from fedprivacy.reporting.settings import level, setting
from fedprivacy.reporting.text import clean, counted

WORDS = "AUC of membership over accuracy, a panel a seat and a mark a run, with intervals; the table holds the numbers."
NAME = "leakage-over-accuracy"


def leaks_figure(results: Sequence[RunResult], names: Sequence[str]) -> Figure | None:
    """The figure; None where no run was both tested and attacked."""
    metric = main_metric(*(result.utility for result in results))
    points = [
        Point(one.run, _seat(one), _values(used.per_seed, used.mean), _values(one.auc.per_seed, one.auc.value))
        for table in comparison.tables(results, names)
        for one in table.rows
        if one.auc.value is not None and (used := one.result.utility.get(metric)) is not None
    ]
    if not points:
        return None
    first = results[0]
    task = f"{clean(setting(first.config, 'data.dataset') or '')}, {counted(first.provenance.seeds, 'seed')}"
    label = metric_name(metric) if metric == OWN_ACCURACY else "test accuracy"
    return over_accuracy((), points, task, level(first), label)


def _seat(one: comparison.Standing) -> str:
    return clean(one.seat)


def _values(per_seed: Sequence[float], mean: float | None) -> Sequence[float]:
    return per_seed or (mean or 0.0,)
