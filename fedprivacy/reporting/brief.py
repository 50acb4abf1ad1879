"""What a reader needs first, on a screen or two: verdicts, accuracy, bytes and epsilon, four rows an adversary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fedprivacy.adversary.effort import FIGURES
from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Block, Document, Line, Section
from fedprivacy.reporting.findings import groups, is_rate
from fedprivacy.reporting.report import title
from fedprivacy.reporting.sections.audit import audit_section
from fedprivacy.reporting.sections.four_rows import four_rows, legend
from fedprivacy.reporting.sections.glance import glance
from fedprivacy.reporting.sections.learned import learned, remarks
from fedprivacy.reporting.sections.short import short_blocks
from fedprivacy.reporting.sections.strongest import failed_line
from fedprivacy.reporting.sections.verdicts import verdict_line
from fedprivacy.reporting.settings import setting

New = Literal["run", "attack", "audit"]
"""What is new in a result: all of it; what was learned, since the run was there; the audit, since the attack was."""


def brief(result: RunResult, new: New = "run") -> Document:
    """The short report of ``result``: only of what is ``new`` in it."""
    if result.audit is not None and new != "attack":
        verdicts = tuple(verdict_line(verdict) for verdict in result.verdicts)
        judged = (Section("Verdict", verdicts),) if verdicts else ()
        return Document(title(result), (*judged, audit_section(result.audit, full=False)))
    notes = (Section("Notes", told),) if (told := tuple(remarks(result))) else ()
    return Document(title(result), (*summary(result, new), *notes))


def summary(result: RunResult, new: New = "run") -> tuple[Section, ...]:
    """What each adversary learned; of a run also what it gives and costs; how strong each attack is."""
    sections = [Section("What each adversary learned", tuple(learned(result)))]
    if new == "run" and setting(result.config, "scores") is None:
        sections.append(Section("Accuracy, bytes, epsilon", (glance(result),)))
    strength = tuple(_strength(result))
    sections += [Section("How strong each attack is", strength)] if strength else []
    return tuple(sections)


def _strength(result: RunResult) -> Iterator[Block]:
    """A table an adversary of membership, and what the other attacks measured."""
    rated = [f for f in result.findings if is_rate(f.metric)]
    names = dict.fromkeys(f.adversary for f in rated)
    tables = [four_rows([f for f in rated if f.adversary == name]) for name in names]
    shown = [table for table in tables if table is not None]
    yield from shown
    if shown:
        yield Line(legend(shown, rated), "quiet")
    yield from filter(None, (failed_line([f for f in rated if f.adversary == name]) for name in names))
    for group in groups(f for f in result.findings if not is_rate(f.metric) and f.metric not in FIGURES):
        yield from short_blocks(group, result.cards.get(group.adversary, {}))
