"""Runs held against each other: at the same seat and power, and with the same knowledge, or not at all.

What two adversaries of different power learn says nothing of the protocols that they attack. So each seat is a table of
its own, in which rows with the same knowledge are compared with the first of them, paired over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedprivacy.adversary.position import seat
from fedprivacy.judge.result import Finding, Kind, RunResult, Verdict, main_metric
from fedprivacy.judge.weaker import weaker
from fedprivacy.metrics.intervals import Interval, corrected_level, paired_interval

ALL = "all clients"
STACK = "stack"
"""The statistic that combines all that one adversary has."""

SAME_GAME: Mapping[str, tuple[str, ...]] = {
    "dataset": ("data", "dataset"),
    "records": ("data", "limit"),
    "image size": ("data", "image_size"),
    "the positive class": ("data", "positive"),
    "layout": ("data", "layout"),
    "candidates": ("data", "candidates"),
    "inclusion": ("data", "inclusion"),
    "schedule": ("data", "schedule"),
    "partition": ("data", "partition"),
    "alpha": ("data", "alpha"),
    "classes per client": ("data", "classes_per_client"),
    "clients": ("clients",),
    "model": ("training", "model"),
    "first seed": ("seed",),
    "repetitions": ("seeds",),
}
"""Settings that two runs must share to be compared at all."""

SAME_ATTACK: Mapping[str, tuple[str, ...]] = {
    "clients attacked": ("attack", "followed"),
    "the headline asked for": ("attack", "headline"),
}
"""Further ones for their leakage to be compared."""

SAME_POWER: Mapping[str, tuple[str, ...]] = {
    "when probes are planted": ("attack", "schedule"),
    "the planted share": ("attack", "planted_share"),
}
"""Further ones at an active seat."""


@dataclass(frozen=True, eq=False)
class Standing:
    """One adversary of one run: its declared headline over all clients by metric, and its stack where there is one."""

    run: str
    result: RunResult
    seat: str
    knowledge: str
    headline: Mapping[str, Finding]
    stack: Mapping[str, Finding]

    @property
    def auc(self) -> Finding:
        """The declared AUC."""
        return self.headline["AUC"]


@dataclass(frozen=True, eq=False)
class Table:
    """What the adversaries of one seat with one knowledge learn, in the order of the runs."""

    seat: str
    knowledge: str
    rows: tuple[Standing, ...]


def standings(result: RunResult, run: str) -> Iterator[Standing]:
    """The adversaries of a run whose headline was declared; scores from elsewhere have none that sits on a wire."""
    pooled = [f for f in result.findings if f.attack == "membership" and f.target == ALL]
    for adversary in dict.fromkeys(f.adversary for f in pooled):
        own = [f for f in pooled if f.adversary == adversary]
        headline = {f.metric: f for f in own if f.headline}
        try:
            place = seat(adversary)
        except ValueError:
            continue
        if "AUC" in headline:
            stack = {f.metric: f for f in own if f.statistic == STACK and not f.headline}
            yield Standing(run, result, place, headline["AUC"].knowledge, headline, stack)


def tables(results: Sequence[RunResult], names: Sequence[str]) -> list[Table]:
    """One table a seat and knowledge, in the order of their first appearance."""
    found: dict[tuple[str, str], list[Standing]] = {}
    for result, name in zip(results, names, strict=True):
        for one in standings(result, name):
            found.setdefault((one.seat, one.knowledge), []).append(one)
    return [Table(*key, tuple(rows)) for key, rows in sorted(found.items(), key=lambda item: item[0][0])]


def verdicts(table: Table, level: float = 0.95) -> list[Verdict]:
    """Each row of ``table`` against its first; the intervals of a table hold together at ``level`` (Bonferroni).

    That less was learned says nothing where it was read by a weaker attack (:mod:`.weaker`).
    """
    if len(table.rows) < 2:
        return []
    first, *others = table.rows
    strict = corrected_level(level, len(others))
    return [_held(one, first, strict) for one in others]


def _held(one: Standing, first: Standing, level: float) -> Verdict:
    claim = f"{one.run} tells the {one.seat} less of who was trained on than {first.run}"
    active = SAME_POWER if one.seat.startswith("active") else {}
    differ = differing(one.result.config, first.result.config, {**SAME_GAME, **SAME_ATTACK, **active})
    if differ:
        return Verdict(claim, "this comparison", "inconclusive", f"the runs differ in {', '.join(differ)}.")
    if one.auc.value is None or first.auc.value is None:
        broken = one if one.auc.value is None else first
        return Verdict(claim, "this comparison", "inconclusive", f"{broken.run} gave no number: {broken.auc.note}.")
    words = f"AUC {_told(one)} against {_told(first)}"
    gap = paired(one.auc, first.auc, level)
    if gap is None:
        return Verdict(claim, "this comparison", "inconclusive", f"{words}; one seed decides nothing, use --seeds 5.")
    words += f", paired difference {_interval(gap)} over {len(one.auc.per_seed)} seeds"
    stacked = paired(one.stack["AUC"], first.stack["AUC"], level) if one.stack and first.stack else None
    words += "" if stacked is None else f" (all signals stacked: {_interval(stacked)})"
    kind: Kind = "supported" if gap.high < 0 else "refuted" if gap.low > 0 else "inconclusive"
    words += _accuracies(one, first)
    less, more = (first, one) if kind == "refuted" else (one, first)
    why = weaker([less.auc], [more.auc])
    if kind != "inconclusive" and why:
        kind, words = "inconclusive", f"{words}; on {less.run} {why}"
    return Verdict(claim, "this comparison", kind, f"{words}.")


def _interval(gap: Interval) -> str:
    return f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


def _told(one: Standing) -> str:
    return f"{one.auc.value:.3f} ({one.auc.statistic} on {one.auc.observation})"


def _accuracies(one: Standing, first: Standing) -> str:
    """How far apart the models are: leakage at another accuracy is another trade."""
    name = main_metric(one.result.utility, first.result.utility)
    if name not in one.result.utility or name not in first.result.utility:
        return ""
    gap = 100 * (one.result.utility[name].mean - first.result.utility[name].mean)
    return f", at {gap:+.1f} points of accuracy"


def paired(one: Finding, other: Finding, level: float) -> Interval | None:
    """The difference over seeds; None for a single seed, or where a seed is missing."""
    if len(one.per_seed) != len(other.per_seed) or len(one.per_seed) < 2:
        return None
    return paired_interval(np.asarray(one.per_seed), np.asarray(other.per_seed), level)


def differing(
    one: Mapping[str, Any], other: Mapping[str, Any], shared: Mapping[str, tuple[str, ...]] = SAME_GAME
) -> list[str]:
    """Names of the settings, of those that must be ``shared``, in which two configurations play another game."""
    return [name for name, path in shared.items() if _setting(one, path) != _setting(other, path)]


def _setting(config: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = config
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def unequal(results: Sequence[RunResult], names: Sequence[str]) -> list[str]:
    """One line a run and seat that others have and it has not, so that no reader looks for the comparison."""
    found = tables(results, names)
    lines = []
    for place in dict.fromkeys(table.seat for table in found):
        rows = [row.run for table in found if table.seat == place for row in table.rows]
        lacking = [name for name in names if name not in rows]
        if lacking:
            lines.append(f"No {place} was run against {', '.join(lacking)}: there is nothing to hold against it.")
    return lines
