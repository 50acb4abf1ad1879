"""The leaderboard of protocols: one entry a protocol, with what its paper reports, what we measured, and others did.

Numbers stand in one table only where the suite that made them has the same version, and the adversary the same seat and
knowledge. Of several attacks on one protocol the strongest is shown, by the statistic that it declared before it ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fedprivacy.reporting.document import Block, Column, Document, Line, Section, Table, row
from fedprivacy.reporting.text import MISSING, clean, counted, epsilon, estimate, levels, listed, size

ENTRY: Literal["fedprivacy/leaderboard/1"] = "fedprivacy/leaderboard/1"
TITLE = "Leaderboard of protocols"
OURS = "ours"
ABOUT = (
    "Least leakage first, at equal seat and knowledge. Where intervals overlap the order says nothing. A protocol that "
    "leaks little because its models learned little stands high too: read leakage beside accuracy. Of several attacks "
    "the strongest stands here, with the version of the attacks; its interval is not corrected for that choice. "
    "Rows of different versions were read by different readers, so between them too the order says nothing."
)
HOW = (
    "A protocol or a stronger attack gets in by one file, its result, and one command: fedprivacy leaderboard add RUN "
    "--by NAME. The run is one of the suite: fedprivacy leaderboard settings prints its settings, fedprivacy run "
    "--config suite.toml takes them, with --protocol mine.py:Mine, or --statistic and --headline mine.py:Score."
)


@dataclass(frozen=True)
class Reported:
    """A number as a paper writes it, on the paper's own data; it is never held against ours."""

    metric: str
    value: str
    on: str
    source: str


@dataclass(frozen=True)
class Seat:
    """What one adversary's declared attack reads over all clients; None: it gave no number, and ``note`` says why."""

    seat: str
    knowledge: str
    attack: str
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    chance_high: float | None
    tpr: float | None
    """At 10% FPR."""
    tpr_low: float | None
    tpr_high: float | None
    n: int
    note: str


@dataclass(frozen=True)
class Measured:
    """One run of one version of the suite. ``by``: ours, or who else ran it; ``attacks``: version of the attacks;
    ``result``: the first digits of the SHA-256 of its result.
    """

    suite: int
    by: str
    result: str
    settings: str
    attacks: str
    fedprivacy: str
    seeds: int
    level: float
    accuracy: float
    accuracy_low: float | None
    accuracy_high: float | None
    bytes: int
    public_bytes: int
    epsilon: float | None
    delta: float
    unit: str
    seats: tuple[Seat, ...]


@dataclass(frozen=True)
class Entry:
    """One protocol."""

    schema: Literal["fedprivacy/leaderboard/1"]
    protocol: str
    title: str
    source: str
    reported: tuple[Reported, ...] = ()
    measured: tuple[Measured, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Standing:
    """One line of a table."""

    name: str
    run: Measured
    seat: Seat


def document(entries: Sequence[Entry], suite: int) -> Document:
    """The page: the present ``suite``, what papers report, then older suites, each apart."""
    versions = sorted({run.suite for entry in entries for run in entry.measured}, reverse=True)
    sections = [Section("How to read it", (Line(ABOUT), Line(HOW)))]
    sections += [_suite(entries, version) for version in versions if version == suite]
    if any(entry.reported for entry in entries):
        sections.append(Section("As their papers report", tuple(_reported(entries))))
    sections += [_suite(entries, version) for version in versions if version != suite]
    return Document(TITLE, tuple(sections))


def _suite(entries: Sequence[Entry], version: int) -> Section:
    """A table a seat and knowledge."""
    found: dict[tuple[str, str], dict[str, _Standing]] = {}
    failed: list[str] = []
    unattacked: list[str] = []
    for entry in entries:
        for run in (one for one in entry.measured if one.suite == version):
            name = f"{entry.protocol}{f' ({run.settings})' if run.settings else ''}"
            unattacked += [] if run.seats else [name]
            for seat in run.seats:
                if seat.auc is None:
                    failed.append(f"{name}, {seat.seat}: {seat.note}")
                    continue
                table = found.setdefault((seat.seat, seat.knowledge), {})
                best = table.get(name)
                if best is None or (best.seat.auc or 0.0) < seat.auc:
                    table[name] = _Standing(name, run, seat)
    blocks: list[Block] = [_table(*key, list(table.values())) for key, table in sorted(found.items())]
    if unattacked:
        blocks.append(Line(f"Nothing that crosses the wire was attacked: {listed(map(clean, unattacked))}.", "quiet"))
    blocks += [Line(f"No number: {clean(words)}.", "quiet") for words in dict.fromkeys(failed)]
    return Section(f"Suite {version}", tuple(blocks))


def _table(seat: str, knowledge: str, lines: Sequence[_Standing]) -> Table:
    heads = ("protocol", "AUC", "TPR at 10% FPR", "attack", "accuracy", "bytes", "epsilon", "by")
    ordered = sorted(lines, key=lambda one: (one.seat.auc or 0.0, one.name))
    used = levels({one.run.level for one in lines})
    high = max((one.seat.chance_high or 0.5 for one in lines), default=0.5)
    caption = (
        f"{clean(seat)}, which knows {clean(knowledge)}; {used} intervals; no leakage: AUC 0.5, at most {high:.3f}"
    )
    return Table(tuple(Column(head) for head in heads), tuple(map(_line, ordered)), caption)


def _line(one: _Standing) -> Any:
    run, seat = one.run, one.seat
    return row(
        [
            clean(one.name),
            estimate(seat.auc, seat.auc_low, seat.auc_high, 0.5),
            MISSING if seat.tpr is None else estimate(seat.tpr, seat.tpr_low, seat.tpr_high, 0.1),
            f"{clean(seat.attack)}, {clean(run.attacks)}",
            estimate(run.accuracy, run.accuracy_low, run.accuracy_high),
            size(run.bytes) + (f" + {size(run.public_bytes)} public" if run.public_bytes else ""),
            epsilon(run.epsilon) + ("" if run.epsilon is None else f" ({clean(run.unit)}, delta {run.delta:g})"),
            f"{clean(run.by)}, {counted(run.seeds, 'seed')}",
        ]
    )


def _reported(entries: Sequence[Entry]) -> Iterator[Block]:
    heads = (Column("protocol"), Column("measure"), Column("value"), Column("on"), Column("source"))
    lines = tuple(
        row([clean(entry.protocol), clean(one.metric), clean(one.value), clean(one.on), clean(one.source)])
        for entry in entries
        for one in entry.reported
    )
    yield Line("On the papers' own data and models; nothing above may be held against it.", "quiet")
    yield Table(heads, lines)
