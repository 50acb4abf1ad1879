"""A paper's table beside ours as a document: the verdict first, then accuracy and bytes, in one table or in two."""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.judge.result import Verdict
from fedprivacy.reporting.document import Cell, Column, Document, Layouts, Line, Section, Table, row
from fedprivacy.reporting.sections.verdicts import verdict_line
from fedprivacy.reporting.text import counted, size
from fedprivacy.study.reproduce import Recipe, Row, cells

NAMES = (Column(""), Column("method", fold=True))
ACCURACY = ("accuracy %", "sd", "AUC", "tuned %")
BYTES = ("up", "down", "public")
PUBLISHED = "published % / AUC"


def document(chosen: Recipe, rows: Sequence[Row], verdicts: Sequence[Verdict], seeds: int) -> Document:
    """What ``rows`` over ``seeds`` gave, beside what the paper says."""
    clients = int(chosen.base["clients"])
    found = [cells(one, clients) for one in rows]
    split = len(NAMES) + len(ACCURACY)
    whole = Table((*NAMES, *_right((*ACCURACY, *BYTES, PUBLISHED))), tuple(map(row, found)))
    published = Column("published", "right", under="%, AUC")
    reached = Table(
        (*NAMES, *_right(ACCURACY), published),
        tuple(row([*one[:2], *map(_below, one[2:split]), Cell(tuple(one[-1].split(" / ")))]) for one in found),
    )
    sent = Table((*NAMES, *_right(BYTES)), tuple(row([*one[:2], *one[split:-1]]) for one in found))
    over = f"intervals at 95% over {counted(seeds, 'seed')}" if seeds > 1 else "one seed: no interval"
    start = size(max(one.start_bytes for one in rows) / clients)
    told = (
        Line(f"Accuracy at 0.5 and at a threshold tuned on validation records; {over}.", "quiet"),
        Line(
            f"Bytes are for one client and the whole run. Before round 1 each also receives the common model: {start}.",
            "quiet",
        ),
    )
    judged = Section("Verdict", tuple(verdict_line(verdict) for verdict in verdicts))
    ours = Section("Ours beside the paper's", (Line(chosen.source), Layouts(((whole,), (reached, sent))), *told))
    return Document(chosen.title, (judged, ours))


def _below(told: str) -> Cell:
    """A number, and its interval on a line below."""
    value, bracket, interval = told.partition(" [")
    return Cell((value, f"[{interval}")) if bracket else Cell((value,))


def _right(titles: Sequence[str]) -> tuple[Column, ...]:
    return tuple(Column(title, "right") for title in titles)
