"""What a column shows of a result: a number with its interval, a size, a word, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fedprivacy.adversary.position import seat
from fedprivacy.judge.result import Audit, Communication, Finding, Interval, RunResult
from fedprivacy.metrics.intervals import paired_interval
from fedprivacy.reporting.figures.frontier import allowed_auc
from fedprivacy.reporting.findings import is_null, is_selected, main_target
from fedprivacy.reporting.text import MISSING, epsilon, fixed, size
from fedprivacy.study.tables.recipe import Column

FAILED = "failed"


def counted(what: str, sizes: Communication) -> int:
    """Bytes of a whole run: up, down, both, payload, public."""
    both = sizes.up_bytes + sizes.down_bytes
    return both if what == "both" else int(getattr(sizes, f"{what}_bytes"))


@dataclass(frozen=True)
class Source:
    """One way in which a run was attacked: adversary, observation, statistic."""

    adversary: str
    observation: str
    statistic: str


@dataclass(frozen=True)
class Number:
    """A value with its interval, and by seed where there are several."""

    value: float
    low: float | None
    high: float | None
    per_seed: tuple[float, ...]


def sources(result: RunResult) -> list[Source]:
    """All of a run, in their order, without controls and choices made after the fact."""
    told = (Source(f.adversary, f.observation, f.statistic) for f in result.findings)
    return [one for one in dict.fromkeys(told) if not (is_null(one.statistic) or is_selected(one.statistic))]


def text(column: Column, result: RunResult, source: Source | None = None, other: RunResult | None = None) -> str:
    """The cell; ``other``: the run whose value is taken away, where the column takes one away."""
    if column.show == "bytes":
        parties = result.config["clients"] * result.config["rounds"] if column.each == "message" else 1
        return size(counted(column.metric[0], result.communication) / parties)
    if column.show == "seconds":
        return fixed(result.provenance.cpu_seconds, column.digits)
    if column.show == "epsilon":
        return epsilon(result.privacy.epsilon)
    if column.show == "allowed":
        return _allowed(result)
    if column.show in ("bound", "reachable", "coins", "estimate"):
        return MISSING if result.audit is None else _audited(column, result.audit)
    if column.show == "verdict":
        return _verdict(column, result)
    if column.show == "count":
        rests = _finding(column, result.findings, source)
        return MISSING if rests is None else f"{rests.n:,}"
    if column.show == "part":
        share = _finding(column, result.findings, source)
        return MISSING if share is None or share.value is None else f"{round(share.value * share.n):,} of {share.n:,}"
    if cause(column, result, source):
        return FAILED
    found = number(column, result, source)
    if column.minus and other is not result:
        return _difference(column, found, None if other is None else number(column, other, source))
    return (
        MISSING if found is None or column.minus else _written(column, found.value, found.low, found.high, column.sign)
    )


def cause(column: Column, result: RunResult, source: Source | None = None) -> str:
    """Why an attack that was tried gave no number; empty where it did, or none was tried."""
    tried = column.show in ("finding", "headline")
    chosen = _finding(column, result.findings, source) if tried else None
    return chosen.note if chosen is not None and chosen.value is None and chosen.flag == "error" else ""


def number(column: Column, result: RunResult, source: Source | None) -> Number | None:
    """The number behind a cell; None where the run has none."""
    if column.show == "utility":
        found = next((result.utility[name] for name in column.metric if name in result.utility), None)
        return None if found is None else of_utility(found)
    chosen = _finding(column, result.findings, source)
    if chosen is None or chosen.value is None:
        return None
    return Number(chosen.value, chosen.low, chosen.high, chosen.per_seed or (chosen.value,))


def of_utility(found: Interval) -> Number:
    """A figure of utility as a number with its seeds."""
    alone = found.low == found.high
    low, high = (None, None) if alone else (found.low, found.high)
    return Number(found.mean, low, high, found.per_seed or (found.mean,))


def _finding(column: Column, findings: Sequence[Finding], source: Source | None) -> Finding | None:
    """The first of the metrics, then of the statistics, about all clients."""
    mine = [
        f
        for f in findings
        if (source is None or Source(f.adversary, f.observation, f.statistic) == source)
        and (column.show != "headline" or f.headline)
        and (not column.seat or _seat(f.adversary) == column.seat)
    ]
    for metric in column.metric:
        for statistic in column.statistic or (None,):
            matching = [f for f in mine if fnmatchcase(f.metric, metric) and statistic in (None, f.statistic)]
            target = main_target(matching)
            found = next((f for f in matching if f.target == target), None)
            if found is not None:
                return found
    return None


def _seat(told: str) -> str:
    try:
        return seat(told)
    except ValueError:
        return ""


def _difference(column: Column, one: Number | None, other: Number | None) -> str:
    if one is None or other is None or len(one.per_seed) != len(other.per_seed):
        return MISSING
    if len(one.per_seed) < 2:
        return _written(column, one.value - other.value, None, None, True)
    gap = paired_interval(one.per_seed, other.per_seed)
    return _written(column, gap.value, gap.low, gap.high, True)


def _written(column: Column, value: float, low: float | None, high: float | None, sign: bool = False) -> str:
    def told(end: float) -> str:
        return fixed(column.scale * end, column.digits, sign)

    ends = "" if low is None or high is None or not column.interval else f" [{told(low)}, {told(high)}]"
    return f"{told(value)}{ends}"


def _allowed(result: RunResult) -> str:
    claim = result.privacy
    if claim.epsilon is None or claim.unit != "record":
        return MISSING
    return fixed(allowed_auc(claim.epsilon, claim.delta), 3)


def _audited(column: Column, found: Audit) -> str:
    if column.show == "coins":
        return f"{found.m:,}"
    if column.show == "estimate":
        told = next(iter(found.estimates), None)
        return MISSING if told is None else _written(column, told.epsilon, told.low, told.high)
    test = next((row for row in found.rows if row.judged and row.method.startswith(column.metric)), None)
    value = None if test is None else test.low if column.show == "bound" else test.reachable
    return MISSING if value is None else epsilon(value, "down")


def _verdict(column: Column, result: RunResult) -> str:
    found = next((v for v in result.verdicts if any(words in v.claim for words in column.metric)), None)
    if found is None:
        return MISSING
    return next((told for key, told in column.words.items() if key in f"{found.verdict}: {found.why}"), found.verdict)
