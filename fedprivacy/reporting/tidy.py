"""All that results found as one tidy table: a row a number, the same columns for every kind. CSV, LaTeX and JSON rest
on it, and so does any reader with a spreadsheet.

Values are those of ``result.json``, neither rounded nor recomputed. An epsilon that is infinite has no value and the
flag ``infinite``; a number below resolution or of a failed attack has none either, and its flag and note say why.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from io import StringIO
from typing import Any

from fedprivacy.judge.result import Finding, Interval, RunResult
from fedprivacy.reporting.settings import level
from fedprivacy.reporting.text import printable

ALL = "all clients"


@dataclass(frozen=True)
class Row:
    """One number. ``kind``: membership, labels, inversion or theft; utility, bytes, privacy, audit; published."""

    run: str
    kind: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    chance: float | None = None
    chance_low: float | None = None
    chance_high: float | None = None
    adversary: str = ""
    observation: str = ""
    statistic: str = ""
    target: str = ""
    n: int | None = None
    """Records, or clients or seeds (see the note), that the number rests on."""
    members: int | None = None
    non_members: int | None = None
    false_positives: int | None = None
    headline: bool = False
    flag: str = ""
    knowledge: str = ""
    note: str = ""


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Row))
_SHARED = tuple(name for name in COLUMNS if name in Finding.__dataclass_fields__)


def tidy(results: Sequence[RunResult], labels: Sequence[str]) -> list[Row]:
    """Rows of all ``results`` in their order; ``labels`` name the runs."""
    return [row for result, label in zip(results, labels, strict=True) for row in rows(result, label)]


def rows(result: RunResult, run: str) -> Iterator[Row]:
    """Utility, bytes, epsilon, findings in the order of the result, and the bounds of an audit."""
    known = result.config.get("scores") is None
    if known:
        yield from _utility(result, run)
        yield from _bytes(result, run)
        yield _epsilon(result, run)
    yield from (of_finding(finding, run) for finding in result.findings)
    yield from _audit(result, run)


def of_finding(finding: Finding, run: str) -> Row:
    """A finding as a row."""
    return Row(run=run, kind=finding.attack, **{name: getattr(finding, name) for name in _SHARED})


def of_interval(run: str, kind: str, metric: str, mean: Interval, at: float, **more: Any) -> Row:
    """A mean over clients or seeds as a row; one alone has no interval."""
    low, high = (mean.low, mean.high) if mean.n > 1 else (None, None)
    return Row(run, kind, metric, mean.mean, low, high, at, n=mean.n, note=f"mean over {mean.over}", **more)


def of_seeds(
    run: str, kind: str, metric: str, ends: tuple[float | None, float | None, float | None, float | None], seeds: int
) -> Row:
    """A mean over seeds as a row; ``ends``: value, low, high and level."""
    return Row(run, kind, metric, *ends, target=ALL, n=seeds, note="mean over seeds")


def _utility(result: RunResult, run: str) -> Iterator[Row]:
    at = level(result)
    for metric, mean in result.utility.items():
        yield of_interval(run, "utility", metric, mean, at, target=ALL)
        yield from (Row(run, "utility", metric, value, target=who) for who, value in mean.per_client.items())
    for other in result.baselines:
        for metric, mean in other.utility.items():
            yield of_interval(f"{run}: {other.name}", "utility", metric, mean, at, target=ALL)


def _bytes(result: RunResult, run: str) -> Iterator[Row]:
    wire = result.communication
    for name in ("up_bytes", "down_bytes", "public_bytes", "start_bytes", "payload_bytes", "fedavg_bytes"):
        yield Row(run, "bytes", name, getattr(wire, name))


def _epsilon(result: RunResult, run: str) -> Row:
    claim = result.privacy
    about = f"{claim.unit} ({claim.relation}), delta {claim.delta:g}, {claim.accountant}"
    flag = "infinite" if claim.epsilon is None else "vacuous" if claim.vacuous else ""
    return Row(run, "privacy", "epsilon", claim.epsilon, adversary=claim.adversary, flag=flag, note=claim.why or about)


def _audit(result: RunResult, run: str) -> Iterator[Row]:
    audit = result.audit
    for one in () if audit is None else audit.rows:
        assert audit is not None
        flag = "control" if one.control else "" if one.judged else "assumes more"
        yield Row(
            run,
            "audit",
            "epsilon at least",
            one.low,
            level=audit.level,
            adversary=one.adversary,
            observation=one.observation,
            statistic=one.statistic,
            target=one.method,
            n=audit.m,
            headline=one.judged,
            flag=flag,
            note=f"{one.counts}; assumes {one.assumption}; {_most(one.reachable)}ceiling {one.ceiling:g}",
        )


def _most(reachable: float | None) -> str:
    return "" if reachable is None else f"reachable {reachable:g}; "


def to_csv(table: Iterable[Row]) -> str:
    """The rows under their column names; nothing stands for what is not known, and text never reads as a formula."""
    page = StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in asdict(row).values()] for row in table)
    return page.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return repr(value)
    text = printable(value)
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") and text[:1] else text
