"""Label distributions: how far each estimate is from the truth, beside guesses that saw no message."""

from __future__ import annotations

from fedprivacy.reporting.document import Block, Line
from fedprivacy.reporting.findings import Group, client_key, is_client
from fedprivacy.reporting.sections.by_statistic import interval_below, statistic_table
from fedprivacy.reporting.sections.rate_table import NO_CAUSE
from fedprivacy.reporting.text import clean, counted, fixed, levels

WORDS = (
    "Distance of the estimated shares of classes from the true ones, mean over clients. TV: half the sum of all gaps; "
    "Chebyshev: the largest gap; KL in nats. Lower is nearer, 0 is exact. Top class: how often the most frequent class "
    "is named. Gain: TV of the uniform guess or of the public prior, whichever is nearer, minus one's own."
)
GAIN = "TV gain over the better guess"
COLUMNS = {
    "TV": "TV",
    GAIN: "gain",
    "Chebyshev": "Chebyshev",
    "KL": "KL",
    "top-class hit": "top class",
}
"""Metric -> title of its column."""


def label_blocks(group: Group) -> list[Block]:
    """One row an estimate or guess about all clients, then the headline client by client."""
    place = f"{clean(group.adversary)}, observing {clean(group.observation)}"
    failed = [f for f in group.findings if f.flag == "error"]
    if failed:
        words = "; ".join(clean(f.note) or NO_CAUSE for f in failed)
        return [Line(f"{place}: the attack failed: {words}", "bad")]
    whole = [f for f in group.findings if not is_client(f.target)]
    number = counted(whole[0].n, "client")
    caption = f"{place}; {number}; {levels(f.level for f in whole)} intervals over clients"
    blocks: list[Block] = [statistic_table(whole, "estimate", COLUMNS, interval_below, caption)]
    single = [f for f in group.findings if is_client(f.target) and f.headline and f.value is not None]
    if single:
        single.sort(key=lambda f: client_key(f.target))
        told = ", ".join(f"{clean(f.target)} {fixed(f.value or 0.0, 3)}" for f in single)
        blocks.append(Line(f"{clean(single[0].metric)} of the headline by client: {told}.", "quiet"))
    return blocks
