"""All findings: membership tables for AUC and TPR, generic tables for every other metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedprivacy.adversary.effort import FIGURES
from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Block, Line, Section
from fedprivacy.reporting.findings import Group, groups, is_rate
from fedprivacy.reporting.sections.generic import generic_blocks
from fedprivacy.reporting.sections.inversion import QUALITY, WORDS, inversion_blocks
from fedprivacy.reporting.sections.labels import COLUMNS, label_blocks
from fedprivacy.reporting.sections.labels import WORDS as OF_LABELS
from fedprivacy.reporting.sections.membership import group_blocks
from fedprivacy.reporting.sections.theft import WORDS as OF_THEFT
from fedprivacy.reporting.sections.theft import theft_blocks
from fedprivacy.reporting.text import clean

OF_RATES = "FP: false positives behind a TPR. No leakage: what a score that knows nothing reads, with its band."
OF_OTHERS = "Chance: what a guess without the attack reads."


def leakage_sections(result: RunResult) -> tuple[Section, ...]:
    """One section an attack, in the order of the findings."""
    if not result.findings:
        return (Section("Leakage", (Line("No attack was run: nothing is known about leakage.", "warn"),)),)
    found = groups(result.findings)
    sections = []
    for attack in dict.fromkeys(group.attack for group in found):
        own = [group for group in found if group.attack == attack]
        blocks: list[Block] = [Line(_words(own), "quiet")]
        for group in own:
            rates = tuple(f for f in group.findings if is_rate(f.metric))
            others = tuple(f for f in group.findings if not is_rate(f.metric) and f.metric not in FIGURES)
            blocks += group_blocks(replace(group, findings=rates)) if rates else []
            blocks += other_blocks(replace(group, findings=others), result) if others else []
        sections.append(Section(f"Leakage: {clean(attack)}", tuple(blocks)))
    return tuple(sections)


def other_blocks(group: Group, result: RunResult) -> list[Block]:
    """The tables of findings that are neither AUC nor TPR, in the form of their attack."""
    measured = {f.metric for f in group.findings}
    if group.attack == "inversion" and measured & set(QUALITY):
        return inversion_blocks(group, result.cards.get(group.adversary, {}))
    if group.attack == "labels" and measured & set(COLUMNS):
        return label_blocks(group)
    return theft_blocks(group) if group.attack == "theft" else generic_blocks(group)


def _words(found: Sequence[Group]) -> str:
    """How to read the numbers of one attack."""
    attack, measured = found[0].attack, {f.metric for group in found for f in group.findings}
    if attack == "inversion" and measured & set(QUALITY):
        return WORDS
    if attack == "labels" and measured & set(COLUMNS):
        return OF_LABELS
    if attack == "theft":
        return OF_THEFT
    rated = any(map(is_rate, measured))
    return f"Value [interval]; '-' is no number, for the reason in the note. {OF_RATES if rated else OF_OTHERS}"
