"""Reconstructions: what the attacker knew, how near it came beside what could be guessed, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedprivacy.judge.result import READ_EXACTLY, Finding, RunResult
from fedprivacy.judge.verdicts import messages_read
from fedprivacy.reporting.document import Block, Cell, Column, Facts, Footnotes, Layouts, Line, Table, cell, row
from fedprivacy.reporting.findings import Group
from fedprivacy.reporting.sections.by_statistic import interval_below, interval_beside, statistic_table
from fedprivacy.reporting.sections.rate_table import NO_CAUSE
from fedprivacy.reporting.text import MISSING, chance_level, clean, count, levels

QUALITY = ("PSNR (dB)", "SSIM", "MSE")
_COLUMNS = {name: name for name in QUALITY}
WORDS = (
    "PSNR, SSIM higher is nearer to the truth, MSE lower. A leak beats every guess from public records, and the null "
    "in which the same attack is fed another client's message."
)


def inversion_blocks(group: Group, card: Mapping[str, str]) -> list[Block]:
    """The card, one row a reconstruction or guess, and the gains and rates of the headline."""
    place = f"{clean(group.adversary)}, observing {clean(group.observation)}"
    failed = [f for f in group.findings if f.flag == "error"]
    if failed:
        words = "; ".join(clean(f.note) or NO_CAUSE for f in failed)
        return [Line(f"{place}: the attack failed: {words}", "bad")]
    blocks: list[Block] = [Line(f"{place}. What it knew:", "strong")] if card else []
    if card:
        blocks.append(Facts(tuple((clean(name), clean(text)) for name, text in card.items())))
    first = group.findings[0]
    told = [part for part in clean(first.note).split("; ") if part and part not in card.get("attempted", "")]
    blocks += [Line(words[:1].upper() + words[1:] + ".", "quiet") for words in told]
    rest = [f for f in group.findings if f.metric not in QUALITY]
    seen = [f for f in group.findings if f.metric in QUALITY]
    caption = f"{place}; {levels(f.level for f in seen)} intervals over messages"
    beside = statistic_table(seen, "what", _COLUMNS, interval_beside, caption, sizes=True)
    blocks.append(Layouts(((beside,), (statistic_table(seen, "what", _COLUMNS, interval_below, caption, sizes=True),))))
    if rest:
        blocks.append(_rates(rest))
    return blocks


def _rates(findings: Sequence[Finding]) -> Table:
    marks = Footnotes()
    rows = []
    for f in findings:
        note = f" {marks.mark(clean(f.note))}" if f.note else ""
        what = clean(f.metric) if f.headline or f.statistic == "chosen attack" else f"{clean(f.metric)}, {f.statistic}"
        value = f"{interval_beside(f)}{note}" if f.value is not None else f"{MISSING}{note}"
        rows.append(row([Cell((what,)), value, chance_level(f.chance, f.chance_low, f.chance_high), count(f.n)]))
    columns = (Column("of the chosen attack", fold=True), Column("value"), Column("without"), Column("n", "right"))
    return Table(columns, tuple(rows), "", marks.lines())


def compared(results: Sequence[RunResult], names: Sequence[str]) -> list[Block]:
    """One table of reconstructions, a row a run and adversary; nothing where no run has any."""
    rows = []
    for name, result in zip(names, results, strict=True):
        own = [f for f in result.findings if f.attack == "inversion" and f.headline]
        for adversary in dict.fromkeys(f.adversary for f in own):
            theirs = [f for f in own if f.adversary == adversary]
            first = theirs[0]
            gains = [f for f in theirs if "gain" in f.metric and f.metric.startswith(QUALITY[0][:4])]
            told = [f"{interval_beside(f)} {f.metric.partition(' over the ')[2]}" for f in gains]
            quality = interval_beside(first) if first.value is not None else MISSING
            what = Cell((clean(adversary), clean(first.observation)))
            read = next((messages_read(f) for f in theirs if f.metric == READ_EXACTLY), MISSING)
            gained = Cell(tuple(told) or (MISSING,))
            rows.append(row([cell(name, tone="strong"), what, quality, gained, count(first.n), read]))
    if not rows:
        return []
    columns = (
        Column("run", fold=True),
        Column("adversary", fold=True),
        Column(QUALITY[0]),
        Column("gain (dB) over", fold=True),
        Column("images", "right"),
        Column("read exactly", fold=True),
    )
    return [Table(columns, tuple(rows), "What was reconstructed, beside what could be guessed")]
