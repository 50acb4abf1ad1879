"""Tables for a paper, from the tidy rows: one of the runs, one an adversary; few rows, each number with its interval.

Of a membership attack these are the declared statistic, the plain loss, all signals stacked, and the null; CSV has all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fedprivacy.judge.result import Verdict
from fedprivacy.reporting.document import Block, Column, Document, Line, Section, Table, row
from fedprivacy.reporting.findings import is_client, is_null, is_rate, metric_name, metric_order, metric_short
from fedprivacy.reporting.sections.rate_table import CHANCE
from fedprivacy.reporting.text import MISSING, clean, count, epsilon, estimate, fixed, levels, sentence, size
from fedprivacy.reporting.tidy import ALL, Row

KINDS: Mapping[str, str] = {
    "membership": "Membership",
    "labels": "Classes that a client holds",
    "inversion": "Reconstruction of records",
    "theft": "Copies of a client's model",
    "audit": "Measured lower bounds of epsilon",
    "published": "Published",
}
SENT = ("up_bytes", "down_bytes", "up_and_down_bytes")
SHORT = 14
"""Characters of a run's name that need no folding."""

PLAIN = ("loss", "stack")
"""Statistics shown beside the declared one: the simplest, and all signals together."""


def paper(rows: Sequence[Row], title: str, verdicts: Sequence[Verdict] = ()) -> Document:
    """The tables of ``rows``, then the ``verdicts``, as a document."""
    blocks: list[Block] = [*_runs(rows)]
    for kind, name in KINDS.items():
        own = [one for one in rows if one.kind == kind and not is_client(one.target)]
        for adversary in dict.fromkeys(one.adversary for one in own):
            blocks += _of_adversary([one for one in own if one.adversary == adversary], name, adversary)
    blocks += [Line(f"{one.verdict}: {clean(one.claim)}. {sentence(clean(one.why))}") for one in verdicts]
    return Document(title, (Section("Findings", tuple(blocks)),))


def _runs(rows: Sequence[Row]) -> Iterator[Table]:
    """Utility, bytes and epsilon, a row a run."""
    names = list(dict.fromkeys(one.run for one in rows if one.kind in ("utility", "bytes", "privacy")))
    if not names:
        return
    metrics = _accuracies(rows)
    heads = (_run(names), *(Column(metric_name(metric)) for metric in metrics), Column("bytes"), Column("epsilon"))
    lines = []
    for name in names:
        own = [one for one in rows if one.run == name]
        means = [next((one for one in own if one.metric == m and one.target == ALL), None) for m in metrics]
        wire = [one.value or 0.0 for one in own if one.metric in SENT]
        claim = next((epsilon(one.value) for one in own if one.kind == "privacy"), MISSING)
        lines.append(row([clean(name), *map(_number, means), size(sum(wire)) if wire else MISSING, claim]))
    used = {one.level for one in rows if one.kind == "utility" and one.level is not None}
    yield Table(heads, tuple(lines), f"Utility, bytes up and down, and claimed epsilon{_at(used)}")


def _accuracies(rows: Sequence[Row]) -> list[str]:
    """Metrics of utility that every run has and a paper prints: accuracies, or else the first."""
    found: dict[str, set[str]] = {}
    for one in rows:
        if one.kind == "utility":
            found.setdefault(one.metric, set()).add(one.run)
    most = max(map(len, found.values()), default=0)
    shared = [metric for metric, runs in found.items() if len(runs) == most]
    return [metric for metric in shared if "accuracy" in metric] or shared[:1]


def _run(names: Sequence[str]) -> Column:
    """The column of runs, which may be folded where a name is long."""
    return Column("run", fold=max(map(len, names)) > SHORT)


def _of_adversary(rows: Sequence[Row], name: str, adversary: str) -> list[Table]:
    rates = [one for one in rows if is_rate(one.metric)]
    others = [one for one in rows if not is_rate(one.metric)]
    caption = f"{name}: {clean(adversary)}" if adversary else name
    return [*_wide([one for one in rates if _chosen(one)], caption), *_long(others, caption)]


def _chosen(one: Row) -> bool:
    return one.headline or is_null(one.statistic) or one.statistic in PLAIN


def _wide(rows: Sequence[Row], caption: str) -> Iterator[Table]:
    """A row a run and statistic, a column a metric that has a number, and what no leakage reads in the first row."""
    known = [one for one in rows if one.value is not None]
    if not known:
        return
    metrics = sorted(dict.fromkeys(one.metric for one in known), key=lambda metric: metric_order(metric))
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for one in rows:
        found.setdefault((one.run, _by(one)), {}).setdefault(one.metric, one)
    runs = list(dict.fromkeys(run for run, _ in found))
    heads = [_run(runs)] if len(runs) > 1 else []
    heads += [Column("by", fold=True), *(Column(metric_short(metric)) for metric in metrics)]
    lines = [row([*([""] if len(runs) > 1 else []), CHANCE, *(_chance(rows, metric) for metric in metrics)])]
    for (run, by), own in found.items():
        lines.append(row([*([clean(run)] if len(runs) > 1 else []), by, *(_number(own.get(name)) for name in metrics)]))
    sizes = {(one.members, one.non_members) for one in rows if one.members and one.non_members}
    words = _at({one.level for one in rows if one.level is not None})
    if len(sizes) == 1:
        members, others = next(iter(sizes))
        words += f"; {count(members or 0)} members, {count(others or 0)} non-members"
    yield Table(tuple(heads), tuple(lines), caption + words, ("* declared before the run",))


def _by(one: Row) -> str:
    """Statistic and observation; of the plain loss and the null the first of a run is enough."""
    name = "null" if is_null(one.statistic) else clean(one.statistic)
    if name in ("null", *PLAIN[:1]):
        return name
    return f"{name} on {clean(one.observation)}" + (" *" if one.headline else "")


def _chance(rows: Sequence[Row], metric: str) -> str:
    levels_of = {f"{one.chance:.2g}" for one in rows if one.metric == metric and one.chance is not None}
    return " to ".join(sorted({min(levels_of), max(levels_of)})) if levels_of else MISSING


def _long(rows: Sequence[Row], caption: str) -> Iterator[Table]:
    """A row a number."""
    if not rows:
        return
    runs = list(dict.fromkeys(one.run for one in rows))
    several = len(runs) > 1
    heads = [_run(runs)] if several else []
    heads += [Column("what", fold=True), Column("measure", fold=True), Column("value"), Column("chance"), Column("n")]
    lines = []
    for one in rows:
        what = " on ".join(filter(None, (clean(one.statistic), clean(one.observation)))) or clean(one.target)
        what += f", {clean(one.target)}" if one.kind == "audit" else ""
        chance = MISSING if one.chance is None else f"{one.chance:.3g}"
        shared = [what + (" *" if one.headline else ""), metric_name(one.metric), _number(one), chance]
        lines.append(row([*([clean(one.run)] if several else []), *shared, MISSING if one.n is None else count(one.n)]))
    words = _at({one.level for one in rows if one.level is not None})
    yield Table(tuple(heads), tuple(lines), caption + words)


def _at(used: set[float]) -> str:
    return f", {levels(used)} intervals" if used else ""


def _number(one: Row | None) -> str:
    if one is None or one.value is None:
        return MISSING
    if one.low is None or one.high is None:
        return fixed(one.value, 3)
    return estimate(one.value, one.low, one.high, one.chance)
