"""A paper's table beside ours: the verdicts first, then accuracy and bytes, and what was attacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from fedprivacy.judge.result import Verdict
from fedprivacy.metrics.intervals import mean_interval, paired_interval
from fedprivacy.reporting import tidy
from fedprivacy.reporting.document import Cell, Column, Document, Layouts, Line, Section, Table, row
from fedprivacy.reporting.sections.verdicts import verdict_line
from fedprivacy.reporting.text import counted, listed, size
from fedprivacy.study.paper.recipe import Recipe
from fedprivacy.study.paper.rows import RATES, Row
from fedprivacy.study.runner import over_seeds, spread

NAMES = (Column(""), Column("method", fold=True))
ACCURACY = ("accuracy %", "sd", "AUC", "tuned %")
BYTES = ("up", "down", "public")
PUBLISHED = "published % / AUC"
HIDDEN = ("trained on %", "gap", "recall of class 0 %", "of class 1 %", "tuned - plain")
"""Accuracy on the records that were trained on, how far that lies above the test's, and how a threshold sits."""
LEVEL = 0.95


def document(chosen: Recipe, rows: Sequence[Row], verdicts: Sequence[Verdict], seeds: int) -> Document:
    """What ``rows`` over ``seeds`` gave, beside what the paper says: a table a group."""
    over = f"intervals at 95% over {counted(seeds, 'seed')}" if seeds > 1 else "one seed: no interval"
    told = (
        Line(f"Accuracy at 0.5 and at a threshold tuned on validation records; {over}.", "quiet"),
        Line(_about_bytes(rows), "quiet"),
    )
    judged = Section("Verdict", tuple(verdict_line(verdict) for verdict in verdicts))
    sections = [judged, *(_section(chosen, title, one) for title, one in grouped(chosen, rows))]
    last = sections[-1]
    sections[-1] = Section(last.title, (*last.blocks, *told))
    return Document(chosen.title, tuple(sections))


def _about_bytes(rows: Sequence[Row]) -> str:
    about = "Bytes are for one client and the whole run."
    start = max(one.start_bytes / one.clients for one in rows)
    own = [one.key for one in rows if not one.start_bytes]
    but = f" (not those of row {listed(own, len(own))})" if own else ""
    return f"{about} Before round 1 each also receives the common model{but}: {size(start)}." if start else about


def grouped(chosen: Recipe, rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows by group, each with what the group is about."""
    order = {name: place for place, name in enumerate(["", *chosen.groups])}
    for name, found in groupby(sorted(rows, key=lambda one: order[one.group]), key=lambda one: one.group):
        yield chosen.groups.get(name, "Ours beside the paper's"), list(found)


def _section(chosen: Recipe, title: str, rows: Sequence[Row]) -> Section:
    found = [cells(one) for one in rows]
    split = len(NAMES) + len(ACCURACY)
    whole = Table((*NAMES, *_right((*ACCURACY, *BYTES, PUBLISHED))), tuple(map(row, found)))
    published = Column("published", "right", under="%, AUC")
    reached = Table(
        (*NAMES, *_right(ACCURACY), published),
        tuple(row([*one[:2], *map(_below, one[2:split]), Cell(tuple(one[-1].split(" / ")))]) for one in found),
    )
    sent = Table((*NAMES, *_right(BYTES)), tuple(row([*one[:2], *one[split:-1]]) for one in found))
    source = (Line(chosen.source),) if any(one.published for one in rows) else ()
    more = tuple(
        Table((NAMES[0], *_right(heads)), tuple(row([*map(_below, one)]) for one in lines), title)
        for title, heads, lines in _further(rows)
    )
    return Section(title, (*source, Layouts(((whole,), (reached, sent))), *more))


def _further(rows: Sequence[Row]) -> Iterator[tuple[str, tuple[str, ...], list[list[str]]]]:
    """Title, heads and cells of the tables beside the first: what accuracy hides, and what was attacked."""
    if seen := [one for one in rows if one.learned]:
        yield "What accuracy hides", HIDDEN, [hidden_cells(one) for one in seen]
    if attacked := [one for one in rows if one.attack]:
        yield "Membership", (*RATES, "attack"), [told_cells(one) for one in attacked]


def _below(told: str) -> Cell:
    """A number, and its interval on a line below."""
    value, bracket, interval = told.partition(" [")
    return Cell((value, f"[{interval}")) if bracket else Cell((value,))


def _right(titles: Sequence[str]) -> tuple[Column, ...]:
    return tuple(Column(title, "right") for title in titles)


def estimate(values: Sequence[float], scale: float = 1.0, digits: int = 1) -> str:
    """Mean with its interval over seeds, as text; no interval for one seed, "-" for none."""
    if not values:
        return "-"
    if len(values) == 1:
        return f"{scale * values[0]:.{digits}f}"
    interval = mean_interval(values, LEVEL, (0.0, 1.0))
    return (
        f"{scale * interval.value:.{digits}f} [{scale * interval.low:.{digits}f}, {scale * interval.high:.{digits}f}]"
    )


def cells(one: Row) -> list[str]:
    """One row of the table as text."""
    published = " / ".join(f"{value:g}" for value in one.published.values()) or "-"
    return [
        one.key,
        one.name,
        estimate(one.accuracy, 100),
        f"{100 * one.spread:.2f}" if one.spread else "-",
        estimate(one.auc, digits=4),
        estimate(one.tuned, 100),
        size(one.up_bytes / one.clients),
        size(one.down_bytes / one.clients),
        size(one.public_bytes / one.clients),
        published,
    ]


def hidden_cells(one: Row) -> list[str]:
    """Train-test gap, recall by class and what a tuned threshold adds, as text; in points."""
    recalls = [estimate(values, 100) for values in one.recall] or ["-", "-"]
    gaps = [one.key, estimate(one.learned, 100), _points(one.learned, one.accuracy), *recalls]
    return [*gaps, _points(one.tuned, one.accuracy)]


def _points(one: Sequence[float], other: Sequence[float]) -> str:
    """The paired difference in points, with its interval over several seeds."""
    if not one or len(one) != len(other):
        return "-"
    if len(one) == 1:
        return f"{100 * (one[0] - other[0]):+.1f}"
    gap = paired_interval(one, other, LEVEL)
    return f"{100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"


def told_cells(one: Row) -> list[str]:
    """What the attack on one row reached, as text."""
    return [one.key, *(estimate(one.membership.get(rate, ()), digits=3) for rate in RATES), one.attack]


def to_markdown(chosen: Recipe, rows: Sequence[Row], verdicts: Sequence[Verdict]) -> str:
    """The tables as Markdown, a heading each where there are several."""
    lines: list[str] = []
    tables = list(grouped(chosen, rows))
    heads = ("row", "method", "accuracy %", "sd, clients", "AUC", "tuned %", *BYTES, PUBLISHED)
    for title, found in tables:
        lines += [f"### {title}", ""] if len(tables) > 1 else []
        lines += _markdown(heads, [cells(one) for one in found])
        for _, more, told in _further(found):
            lines += _markdown(("row", *more), told)
    lines.append(_about_bytes(rows))
    for verdict in verdicts:
        lines += ["", f"**{verdict.verdict}**: {verdict.claim}. {verdict.why}"]
    return "\n".join(lines) + "\n"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        *(f"| {' | '.join(line)} |" for line in [heads]),
        "|---" * len(heads) + "|",
        *(f"| {' | '.join(line)} |" for line in rows),
        "",
    ]


def tidied(rows: Sequence[Row]) -> list[tidy.Row]:
    """Ours and the published numbers as tidy rows; a run is a row of the paper."""
    table = []
    for one in rows:
        run = f"{one.key}: {one.name}"
        kinds = {"utility": {"accuracy": one.accuracy, "auc": one.auc, "tuned_accuracy": one.tuned}}
        for kind, metrics in (kinds | {"membership": dict(one.membership)}).items():
            for metric, values in metrics.items():
                if values:
                    ends = spread(over_seeds(values, LEVEL), len(values))
                    table.append(tidy.of_seeds(run, kind, metric, ends, len(values)))
        for name in ("up_bytes", "down_bytes", "public_bytes", "start_bytes"):
            table.append(tidy.Row(run, "bytes", name, getattr(one, name)))
        for metric, value in one.published.items():
            table.append(tidy.Row(run, "published", metric, value, note="as the paper writes it"))
    return table
