"""Utility of the protocol per client and on average, beside its baselines, with a plain line on who is better.

A difference is taken client by client where both intervals are over the same clients; else from the two intervals
(G. Zou and A. Donner, "Construction of confidence limits about effect measures", 2008), taking them as independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedprivacy.judge.result import OWN_ACCURACY, Baseline, Interval, RunResult, main_metric
from fedprivacy.metrics.intervals import paired_interval
from fedprivacy.reporting.document import Block, Column, Line, Section, Table, cell, row
from fedprivacy.reporting.findings import client_key, metric_name
from fedprivacy.reporting.settings import level, protocol_name
from fedprivacy.reporting.text import MISSING, clean, counted, decimals, estimate, fixed, sizes
from fedprivacy.reporting.text import level as level_words

MANY_CLIENTS = 12
OWN = (
    "Clients hold different classes, so what counts is each client's own accuracy: on test records weighted to the "
    "classes of its own records."
)


def utility_section(result: RunResult) -> Section:
    """The first metric with differences from the baselines and values per client; means of the others."""
    if not result.utility:
        return Section("Utility", (Line("No utility was measured.", "quiet"),))
    metric = main_metric(result.utility)
    others = [name for name in result.utility if name != metric]
    blocks: list[Block] = [_means(result, metric)]
    blocks.extend(_comparison(result, metric, baseline) for baseline in result.baselines)
    blocks.extend(table for table in (_clients(result, metric), _others(result, others)) if table is not None)
    if not result.baselines:
        blocks.append(Line("No baseline was run, so nothing is said about what the federation gains.", "quiet"))
    return Section("Utility", tuple(blocks))


def difference(ours: Interval, other: Interval, at: float) -> tuple[float, float, float]:
    """Mean of ``ours - other`` with the ends of its interval at level ``at``."""
    if len(ours.per_seed) == len(other.per_seed) > 1:
        paired = paired_interval(ours.per_seed, other.per_seed, at)
        return paired.value, paired.low, paired.high
    if _paired(ours, other):
        names = sorted(ours.per_client)
        paired = paired_interval(
            [ours.per_client[name] for name in names], [other.per_client[name] for name in names], at
        )
        return paired.value, paired.low, paired.high
    mean = ours.mean - other.mean
    below = math.hypot(ours.mean - ours.low, other.high - other.mean)
    above = math.hypot(ours.high - ours.mean, other.mean - other.low)
    return mean, mean - below, mean + above


def _paired(ours: Interval, other: Interval) -> bool:
    """Whether both intervals are over the same seeds, or over the same clients, two at least."""
    if len(ours.per_seed) == len(other.per_seed) > 1:
        return True
    names = set(ours.per_client)
    return ours.over == other.over == "clients" and len(names) > 1 and names == set(other.per_client)


def lower_is_better(metric: str) -> bool:
    """Whether a small value of ``metric`` is the good one: losses, errors and divergences."""
    return any(word in metric.lower() for word in ("loss", "error", "entropy", "perplexity", "divergence"))


def _means(result: RunResult, metric: str) -> Table:
    ours, at = result.utility[metric], level(result)
    protocol = protocol_name(result)
    own = result.communication.up_bytes + result.communication.down_bytes
    traffic = sizes([own, *(baseline.up_bytes + baseline.down_bytes for baseline in result.baselines)])
    lines = [row([cell(f"{protocol} (this run)", tone="strong"), mean_of(ours), MISSING, traffic[0]])]
    for baseline, sent in zip(result.baselines, traffic[1:], strict=True):
        other = baseline.utility.get(metric)
        gap = MISSING if other is None else estimate(*difference(ours, other, at), against=0.0, sign=True)
        name = cell(clean(baseline.name), clean(baseline.why))
        lines.append(row([name, mean_of(other), gap, sent]))
    title = metric_name(metric)
    notes = [OWN] if metric == OWN_ACCURACY else []
    others = [b.utility[metric] for b in result.baselines if metric in b.utility]
    if any(_paired(ours, other) for other in others):
        notes.append(f"Differences are taken {'seed by seed' if ours.per_seed else 'client by client'}.")
    if not all(_paired(ours, other) for other in others):
        notes.append("Differences are from the two intervals, taken as independent.")
    if ours.over == "clients":
        notes.append("Intervals are over the clients of this run; they say nothing about other seeds.")
    return Table(
        (
            Column("protocol", fold=True),
            Column(f"mean {title}"),
            Column("this run minus it"),
            Column("bytes", "right"),
        ),
        tuple(lines),
        _caption(title, ours, at),
        tuple(notes),
    )


def _caption(title: str, ours: Interval, at: float) -> str:
    """What the means of a table are taken over."""
    if ours.over == "one model":
        return f"{title} of the one model that all clients end with; others with {level_words(at)} interval"
    return f"{title}, mean over {counted(ours.n, clean(ours.over).removesuffix('s'))} with {level_words(at)} interval"


def mean_of(interval: Interval | None) -> str:
    """A mean with its interval; one model has none, though its ends may be stored as its value."""
    if interval is None:
        return MISSING
    return estimate(interval.mean, *((interval.low, interval.high) if interval.n > 1 else (None, None)))


def _comparison(result: RunResult, metric: str, baseline: Baseline) -> Line:
    protocol, name, title = protocol_name(result), clean(baseline.name), metric_name(metric)
    other = baseline.utility.get(metric)
    if other is None:
        return Line(f"{name} has no {title} to compare with.", "quiet")
    mean, low, high = difference(result.utility[metric], other, level(result))
    gap = estimate(mean, low, high, against=0.0, sign=True)
    if low <= 0 <= high and not _paired(result.utility[metric], other):
        words = f"The intervals of {protocol} and {name} do not tell them apart in {title}"
        return Line(f"{words}: {gap} (not paired).", "warn")
    if low <= 0 <= high:
        return Line(f"{protocol} does not measurably differ from {name} in {title}: {gap}.", "warn")
    better = (mean > 0) != lower_is_better(metric)
    if result.utility[metric].n < 2 or other.n < 2:
        return Line(f"One model has no interval: {protocol} and {name} are not compared in {title}.", "warn")
    words = "beats" if better else "is worse than"
    if result.utility[metric].over != "seeds":
        words = "is better than" if better else "is worse than"
        return Line(f"On these clients, {protocol} {words} {name} in {title}: {gap}. One seed decides nothing.")
    return Line(f"{protocol} {words} {name} in {title}: {gap}.", "good" if better else "bad")


def _others(result: RunResult, metrics: Sequence[str]) -> Table | None:
    """Means of the further metrics, a column each."""
    if not metrics:
        return None
    own = cell(f"{protocol_name(result)} (this run)", tone="strong")
    rows = [row([own, *(mean_of(result.utility[metric]) for metric in metrics)])]
    for baseline in result.baselines:
        rows.append(row([clean(baseline.name), *(mean_of(baseline.utility.get(metric)) for metric in metrics)]))
    columns = (Column("protocol", fold=True), *(Column(metric_name(metric)) for metric in metrics))
    return Table(columns, tuple(rows), f"Other measures, mean with {level_words(level(result))} interval")


def _clients(result: RunResult, metric: str) -> Table | None:
    ours = result.utility[metric].per_client
    if not ours:
        return None
    compared: list[tuple[str, Mapping[str, float]]] = [("this run", ours)]
    for baseline in result.baselines:
        other = baseline.utility.get(metric)
        if other is not None and other.per_client:
            compared.append((clean(baseline.name), other.per_client))
    names = sorted(ours, key=client_key)
    notes: tuple[str, ...] = ()
    if len(names) > MANY_CLIENTS:
        notes = (f"Lowest, median and highest of {counted(len(names), 'client')} in this run; all are in result.json.",)
        ranked = sorted(names, key=lambda name: ours[name])
        names = [ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]]
    places = _places(list(ours.values()))
    rows = [
        row(
            [
                clean(name),
                *(fixed(values[name], places) if name in values else MISSING for _, values in compared),
            ]
        )
        for name in names
    ]
    columns = (Column("client", fold=True), *(Column(name, "right", fold=True) for name, _ in compared))
    return Table(columns, tuple(rows), f"{metric_name(metric)} by client", notes)


def _places(values: Sequence[float]) -> int:
    """Decimals for single values without an interval of their own: three for shares, else two digits of the spread."""
    return 3 if max(map(abs, values)) <= 1 else decimals(min(values), max(values))[0]
