"""Model theft: how far copies agree with the clients' models, beside a model that saw no message."""

from __future__ import annotations

from fedprivacy.judge.result import Finding
from fedprivacy.reporting.document import Block, Line
from fedprivacy.reporting.findings import Group, client_key, is_client
from fedprivacy.reporting.sections.by_statistic import interval_below, statistic_table
from fedprivacy.reporting.sections.rate_table import NO_CAUSE
from fedprivacy.reporting.text import clean, counted, estimate, fixed, levels

WORDS = (
    "Copies of the clients' models, on test records, mean over clients. Agreement: share of records on which copy and "
    "client name the same class; gain: that above a model trained without any message; KL(client || copy) in nats, "
    "lower is nearer; accuracy: the copy's own."
)
COLUMNS = {"agreement": "agreement", "agreement gain": "gain", "KL": "KL", "accuracy": "accuracy"}
"""Metric -> title of its column."""
MEASURES = ("agreement", "agreement gain")
"""What is read first, and how much of it needs the messages."""
AFTER = "agreement after round "


def theft_blocks(group: Group) -> list[Block]:
    """One row a way of copying, then the headline by round and by client."""
    place = f"{clean(group.adversary)}, copying from {clean(group.observation)}"
    failed = [f for f in group.findings if f.flag == "error"]
    if failed:
        words = "; ".join(clean(f.note) or NO_CAUSE for f in failed)
        return [Line(f"{place}: the attack failed: {words}", "bad")]
    whole = [f for f in group.findings if not is_client(f.target) and f.metric in COLUMNS]
    caption = f"{place}; {counted(whole[0].n, 'client')}; {levels(f.level for f in whole)} intervals over clients"
    blocks: list[Block] = [statistic_table(whole, "copy", COLUMNS, interval_below, caption)]
    blocks += [Line(f"{clean(f.note)}.", "quiet") for f in whole if f.headline and f.metric == "agreement" and f.note]
    course = [f for f in group.findings if f.metric.startswith(AFTER)]
    if course:
        told = ", ".join(f"{clean(f.metric.removeprefix(AFTER))}: {_told(f)}" for f in course)
        blocks.append(Line(f"Agreement of the headline after round {told}.", "quiet"))
    single = [f for f in group.findings if is_client(f.target) and f.value is not None]
    if single:
        single.sort(key=lambda f: client_key(f.target))
        told = ", ".join(f"{clean(f.target)} {fixed(f.value or 0.0, 3)}" for f in single)
        blocks.append(Line(f"Agreement of the headline by client: {told}.", "quiet"))
    return blocks


def _told(finding: Finding) -> str:
    return estimate(finding.value, finding.low, finding.high, finding.chance)
