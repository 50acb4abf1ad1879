"""The records at risk as a report: it names members, so it is made only for who asks, and kept in no run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from fedprivacy.reporting.document import Block, Column, Document, Line, Section, Table, row
from fedprivacy.reporting.text import clean, count, counted, percent
from fedprivacy.reporting.tidy import Row
from fedprivacy.study.membership.per_record import Accusations

TITLE = "fedprivacy: records most at risk"
WARNING = "This report names records that were trained on. It is for the owner of the data."
MEANING = (
    "The rate is controlled over all that are accused together, on average over the coins; it is no statement on one "
    "record alone. Each adversary and seed has its own list, and the rate holds for each list."
)


def document(found: Sequence[Accusations]) -> Document:
    """A section an adversary and seed."""
    return Document(TITLE, (*map(_section, found), Section("How to read it", (Line(WARNING, "warn"), Line(MEANING)))))


def _section(one: Accusations) -> Section:
    title = f"{clean(one.adversary)}, by {one.statistic} on {clean(one.observation)}, seed {one.seed}"
    tested = f"{counted(one.tested, 'record')} tested against {counted(one.known, 'known non-member')}"
    if not one.accused:
        words = (
            f"No record can be accused at a false discovery rate of {percent(one.rate)} ({tested}; smallest p-value "
            f"{one.least:.3g}). That is no proof of privacy."
        )
        return Section(title, (Line(words, "strong"),))
    words = (
        f"{counted(len(one.accused), 'record')} accused of {tested}, at a false discovery rate of {percent(one.rate)}: "
        f"{count(len(one.accused) - one.wrong)} were trained on, {count(one.wrong)} were not "
        f"({percent(one.wrong / len(one.accused))})."
    )
    heads = (Column("client"), Column("training record", "right"), Column("p-value", "right"), Column("trained on"))
    lines = tuple(
        row([f"client-{a.client}", str(a.row), f"{a.p_value:.3g}", "yes" if a.member else "no"]) for a in one.accused
    )
    blocks: tuple[Block, ...] = (Line(words, "strong"), Table(heads, lines))
    return Section(title, blocks)


def rows(found: Sequence[Accusations], run: str) -> list[Row]:
    """A row an accused record, and one with the empirical false discovery rate of each list."""
    table: list[Row] = []
    for one in found:
        wrong = one.wrong / len(one.accused) if one.accused else 0.0
        rate = Row(run, "accusations", "false discoveries", wrong, chance_high=one.rate, n=len(one.accused))
        named = [
            Row(
                run,
                "accusation",
                "p-value",
                a.p_value,
                target=f"client-{a.client}, training record {a.row}",
                flag="trained on" if a.member else "not trained on",
            )
            for a in one.accused
        ]
        about = partial(replace, adversary=one.adversary, observation=one.observation, statistic=one.statistic)
        table += [about(line, note=f"seed {one.seed}") for line in (rate, *named)]
    return table
