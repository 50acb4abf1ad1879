"""The page's numbers as tidy rows: a run is a protocol, an adversary a seat."""

from __future__ import annotations

from fedprivacy.reporting.tidy import ALL, Row, of_seeds
from fedprivacy.study.leakage.measured import METRICS, Measured
from fedprivacy.study.leakage.page import LEVEL
from fedprivacy.study.runner import over_seeds, spread


def rows(found: Measured) -> list[Row]:
    """Accuracy and bytes of each protocol, and what each seat reads."""
    table: list[Row] = []
    for row in found.rows:
        seeds = len(row.accuracy)
        if not any(one.run == row.name for one in table):
            ends = spread(over_seeds(row.accuracy, LEVEL), seeds)
            table.append(of_seeds(row.name, "utility", "test_accuracy", ends, seeds))
            table.append(Row(row.name, "bytes", "up_and_down_bytes", row.bytes, note="mean over seeds"))
        for metric in METRICS:
            first = next(iter(row.found.get(metric, ())), None)
            if first is None:
                continue
            known = row.values(metric)
            pooled = row.pooled(metric)
            read = over_seeds(known, LEVEL) if known else pooled
            ends = (None,) * 4 if read is None else spread(read, seeds)
            table.append(
                Row(
                    row.name,
                    first.attack,
                    metric,
                    *ends,
                    chance=first.chance,
                    adversary=row.seat,
                    observation=first.observation,
                    statistic=first.statistic,
                    target=ALL,
                    n=seeds,
                    headline=True,
                    flag=("few" if read.note else "") if read is not None else "error" if row.cause else "below",
                    knowledge=row.knowledge,
                    note=row.cause if pooled is None else "; ".join(filter(None, (pooled.method, pooled.note))),
                )
            )
    return table
