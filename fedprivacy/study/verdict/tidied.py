"""The page's numbers as tidy rows: a run is a series, its note says which share of the pool was known."""

from __future__ import annotations

from fedprivacy.reporting.tidy import ALL, Row, of_seeds
from fedprivacy.study.runner import over_seeds, spread
from fedprivacy.study.verdict.measured import AUC, TPR, Measured
from fedprivacy.study.verdict.page import LEVEL


def rows(found: Measured) -> list[Row]:
    """Accuracy and epsilon of each series, and AUC and TPR at 1% FPR at each share."""
    table = []
    for line in (*found.lines, *found.rivals.values()):
        run = f"{line.series.title}, {line.rounds} rounds"
        seeds = len(line.accuracy)
        ends = spread(over_seeds(line.accuracy, LEVEL), seeds)
        table.append(of_seeds(run, "utility", "test_accuracy", ends, seeds))
        flag = "infinite" if line.epsilon is None else ""
        table.append(Row(run, "privacy", "epsilon", line.epsilon, flag=flag))
        for share, point in line.points.items():
            for metric in (AUC, TPR):
                read = point.over_seeds(metric, LEVEL)
                ends = (None,) * 4 if read is None else spread(read, seeds)
                pooled = None if read is None or point.values(metric) else read
                told = (point.failed, *((pooled.method, pooled.note) if pooled else ()), *point.notes)
                table.append(
                    Row(
                        f"{run}, {100 * share:g}% known",
                        "membership",
                        metric,
                        *ends,
                        chance=point.chance[metric],
                        adversary="passive server",
                        observation=" and ".join(line.series.observations),
                        statistic="declared",
                        target=ALL,
                        n=seeds,
                        non_members=point.non_members,
                        headline=True,
                        flag=("few" if pooled and pooled.note else "")
                        if read is not None
                        else "error"
                        if point.failed
                        else "below",
                        knowledge=point.knowledge,
                        note="; ".join(filter(None, told)),
                    )
                )
    return table
