"""The page in words: a table a seat, each protocol against averaging of the nearest accuracy from that same seat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedprivacy.judge.verdicts import STRONGER_KNOWN
from fedprivacy.judge.weaker import NONE_KNOWN, weaker
from fedprivacy.metrics.intervals import Interval, corrected_level, paired_interval
from fedprivacy.reporting.figures.over_accuracy import Point, over_accuracy_figure
from fedprivacy.reporting.text import size
from fedprivacy.study.leakage.measured import FIRST, SEATS, Measured, Row, order
from fedprivacy.study.runner import over_seeds

LEVEL = 0.95

UNDECIDED: Mapping[str, str] = {
    NONE_KNOWN: "undecided, since read by a weaker attack (no stronger one is known here)",
    STRONGER_KNOWN: "undecided, since read by a weaker attack (a stronger one is known and was not run)",
}
"""What is said of a difference that a weaker attack may have made, by how it is weaker."""


def figure(found: Measured) -> bytes:
    """Leakage over accuracy from every seat, as PNG."""
    rows = [row for row in found.best_known if row.values()]
    curve = [point(row) for row in rows if row.protocol == FIRST]
    points = [point(row) for row in rows if row.protocol != FIRST]
    return over_accuracy_figure(curve, points, found.base.data.dataset, LEVEL)


def point(row: Row) -> Point:
    """A row in the figure."""
    return Point(row.protocol, row.seat, row.accuracy, row.values())


def page(found: Measured, command: str, picture: str) -> str:
    """Markdown: what follows, then a table a seat, the figure, what was refused, limits and the command."""
    lines = [f"# What each seat learns: membership by protocol ({found.base.data.dataset})", ""]
    seats = [place for place in SEATS if any(row.seat == place for row in found.rows)]
    for place in seats:
        lines += [follows(found, place), ""]
    lines += [f"![leakage over accuracy]({picture})", ""]
    for place in seats:
        lines += [f"## {place.capitalize()}", "", *table(found, place), "", *by_share(found, place)]
    lines += [f"Refused: {words}" for words in found.refused]
    cost = f"{found.cpu_seconds / 60:.0f} cpu-minutes; a stopped run goes on, and finished runs are found again"
    lines += ["", *limits(found), "", f"Regenerate: `{command}` ({cost})."]
    return "\n".join(lines) + "\n"


def pairs(found: Measured, place: str) -> list[tuple[Row, Row]]:
    """Each protocol beside its rival, where both were attacked from this seat with the same, and most, knowledge."""
    rows = sorted((row for row in found.best_known if row.seat == place), key=order)
    beside = [(row, found.rival(row)) for row in rows]
    return [(row, rival) for row, rival in beside if rival is not None and row.values() and rival.values()]


def follows(found: Measured, place: str) -> str:
    """Counted over protocols, in one sentence; a single seed decides nothing."""
    held = pairs(found, place)
    if not held:
        return (
            f"**{place.capitalize()}**: nothing to compare; averaging was not attacked from this seat, or nothing else."
        )
    if found.seeds < 2:
        return f"**{place.capitalize()}**: one seed decides nothing."
    level = corrected_level(LEVEL, len(held))
    learns: dict[str, list[str]] = {"less": [], "more": [], "neither measurably less nor more": []}
    undecided: dict[str, list[str]] = {}
    for row, rival in held:
        gap = paired_interval(row.values(), rival.values(), level)
        word = "less" if gap.high < 0 else "more" if gap.low > 0 else "neither measurably less nor more"
        less, more = (rival, row) if word == "more" else (row, rival)
        why = "" if gap.low <= 0 <= gap.high else weaker(less.found["AUC"], more.found["AUC"])
        (undecided.setdefault(UNDECIDED[why], []) if why else learns[word]).append(row.protocol)
    told = [f"{word} than averaging of nearest accuracy: {', '.join(names)}" for word, names in learns.items() if names]
    parts = [f"learns {'; '.join(told)}"] if told else []
    parts += [f"{words}: {', '.join(names)}" for words, names in undecided.items()]
    return f"**{place.capitalize()}** {'; '.join(parts)}."


def table(found: Measured, place: str) -> list[str]:
    """One row a protocol, with the difference to averaging of nearest accuracy, by who knows most of the pool."""
    rows = sorted((row for row in found.best_known if row.seat == place), key=order)
    held = {id(row): rival for row, rival in pairs(found, place)}
    level = corrected_level(LEVEL, max(1, len(held)))
    lines = [
        "| protocol | attack | AUC | minus averaging's | TPR at 1% FPR | TPR at 0.1% FPR | test accuracy | sent |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        first = row.found["AUC"][0]
        how = f"{first.statistic} on {first.observation}"
        accuracy = interval(over_seeds(row.accuracy, LEVEL))
        if not row.values():
            lines.append(f"| {row.name} | {how} | failed: {row.cause} | - | - | - | {accuracy} | {size(row.bytes)} |")
            continue
        rival, gap = held.get(id(row)), "-"
        if rival is not None and found.seeds > 1:
            points = 100 * float(np.mean(row.accuracy) - np.mean(rival.accuracy))
            gap = interval(paired_interval(row.values(), rival.values(), level), "+")
            gap += f" ({rival.rounds} rounds, {points:+.1f} points)"
        rates = [rate(row, metric) for metric in ("TPR@1%FPR", "TPR@0.1%FPR")]
        numbers = [cell(row.values()), gap, *rates, accuracy, size(row.bytes)]
        lines.append(f"| {' | '.join([row.name, how, *numbers])} |")
    known = dict.fromkeys(row.knowledge for row in rows)
    lines += ["", *(f"It knows {words}." for words in known if words)]
    return lines


def by_share(found: Measured, place: str) -> list[str]:
    """AUC and TPR at 1% FPR of each protocol over the shares of the pool known; nothing where that is one share."""
    if len(found.shares) < 2:
        return []
    rows = sorted((row for row in found.rows if row.seat == place), key=order)
    lines = [
        f"Less of the pool known to the {place}, AUC and TPR at 1% FPR:",
        "",
        f"| protocol | {' | '.join(f'{100 * share:g}%' for share in found.shares)} |",
        "|---" * (1 + len(found.shares)) + "|",
    ]
    for name in dict.fromkeys(row.name for row in rows):
        told = []
        for share in found.shares:
            own = next((row for row in rows if (row.name, row.share) == (name, share) and row.values()), None)
            told.append("-" if own is None else f"{cell(own.values())}; {rate(own, 'TPR@1%FPR')}")
        lines.append(f"| {' | '.join([name, *told])} |")
    return [*lines, ""]


def limits(found: Measured) -> list[str]:
    """How to read it."""
    base = found.base
    followed = base.attack.followed or base.clients
    return [
        f"{base.clients} clients with {base.data.candidates} candidates, {followed} attacked; {base.training.model}; "
        f"{found.seeds} seeds. A protocol is held only against averaging seen from the same seat with the same "
        "knowledge, stopped in the round whose mean test accuracy is nearest; in brackets how many points its models "
        "are better. Differences are paired by seed and hold together at 95% within a seat (Bonferroni); other "
        "intervals are single ones. Chance: AUC .5, TPR .01 and .001. *: one threshold for all seeds, where one alone "
        "has too few non-members; it rests on fewer than ten false positives as a rule. A dash is a number below the "
        "resolution of all together. A stronger attack may exist for each.",
    ]


def cell(values: Sequence[float]) -> str:
    """Mean over seeds with its interval; a dash for none."""
    return interval(over_seeds(values, LEVEL)) if values else "-"


def rate(row: Row, metric: str) -> str:
    """Mean over seeds, or what all together give at one threshold, marked; a dash below the resolution of both."""
    pooled = row.pooled(metric)
    return cell(row.values(metric)) if pooled is None else f"{interval(pooled)} *"


def interval(one: Interval, sign: str = "") -> str:
    """``.912 [.905, .919]``; without brackets for a single seed."""
    if one.low == one.high:
        return f"{one.value:{sign}.3f}"
    return f"{one.value:{sign}.3f} [{one.low:{sign}.3f}, {one.high:{sign}.3f}]"
