"""All findings: membership tables for AUC and TPR, generic tables for every other metric."""

from __future__ import annotations

from dataclasses import replace

from fedprivacy.judge.result import RunResult
from fedprivacy.reporting.document import Block, Line, Section
from fedprivacy.reporting.findings import groups, is_rate
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
        rated = any(is_rate(f.metric) for group in found if group.attack == attack for f in group.findings)
        own = [group for group in found if group.attack == attack]
        if attack == "inversion" and any(f.metric in QUALITY for group in own for f in group.findings):
            drawn = [block for group in own for block in inversion_blocks(group, result.cards.get(group.adversary, {}))]
            sections.append(Section("Leakage: inversion", (Line(WORDS, "quiet"), *drawn)))
            continue
        if attack == "labels" and any(f.metric in COLUMNS for group in own for f in group.findings):
            told = [block for group in own for block in label_blocks(group)]
            sections.append(Section("Leakage: labels", (Line(OF_LABELS, "quiet"), *told)))
            continue
        if attack == "theft":
            told = [block for group in own for block in theft_blocks(group)]
            sections.append(Section("Leakage: theft", (Line(OF_THEFT, "quiet"), *told)))
            continue
        words = f"Value [interval]; '-' is no number, for the reason in the note. {OF_RATES if rated else OF_OTHERS}"
        blocks: list[Block] = [Line(words, "quiet")]
        for group in (one for one in found if one.attack == attack):
            rates = tuple(f for f in group.findings if is_rate(f.metric))
            others = tuple(f for f in group.findings if not is_rate(f.metric))
            blocks += group_blocks(replace(group, findings=rates)) if rates else []
            blocks += generic_blocks(replace(group, findings=others)) if others else []
        sections.append(Section(f"Leakage: {clean(attack)}", tuple(blocks)))
    return tuple(sections)
