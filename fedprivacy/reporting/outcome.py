"""What a finding says against chance, in one word and never more than it supports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fedprivacy.judge.result import Finding
from fedprivacy.reporting.findings import metric_name
from fedprivacy.reporting.text import chance_level, estimate, percent

Outcome = Literal["leak", "none", "unclear", "reversed", "failed", "unjudged"]

NO_LEAKAGE = "no leakage measured (this is no proof of privacy)"


def against_chance(finding: Finding) -> Outcome:
    """How ``finding`` (a metric that rises with leakage) compares with chance.

    ``none``: chance lies inside the interval. ``leak``: the interval is above chance and the value above the band of
    no leakage. ``unclear``: the interval is above chance, the value is not above the band. ``reversed``: the interval
    is below chance. ``unjudged``: too few candidates or false positives, or no chance or interval to compare with.
    """
    if finding.flag == "error":
        return "failed"
    if finding.too_few:
        return "unjudged"
    value, chance, low, high = finding.value, finding.chance, finding.low, finding.high
    if finding.flag or value is None or chance is None or low is None or high is None:
        return "unjudged"
    if low <= chance <= high:
        return "none"
    if high < chance:
        return "reversed"
    return "unclear" if finding.chance_high is not None and value <= finding.chance_high else "leak"


def overall(rates: Mapping[str, Finding]) -> Outcome:
    """One word for the rates of one statistic: a leak in any of them, else what the first one that counts says."""
    outcomes = [against_chance(finding) for finding in rates.values()]
    if "leak" in outcomes:
        return "leak"
    judged = [outcome for outcome in outcomes if outcome != "unjudged"]
    return judged[0] if judged else "unjudged"


def measured(finding: Finding) -> str:
    """``AUC 0.776 [0.75, 0.80]; without leakage 0.500 [0.48, 0.52]``."""
    words = f"{metric_name(finding.metric)} {estimate(finding.value, finding.low, finding.high, finding.chance)}"
    chance = chance_level(finding.chance, finding.chance_low, finding.chance_high)
    return words if finding.chance is None else f"{words}; without leakage {chance}"


def recognised(finding: Finding, fpr: float) -> str:
    """TPR at a FPR (in per cent) as a sentence about members."""
    if finding.value is None or finding.low is None or finding.high is None:
        raise ValueError("only a TPR with its interval can be told as a sentence")
    width = finding.high - finding.low
    low, high = percent(finding.low, width), percent(finding.high, width)
    chance = "" if finding.chance_high is None else f"; up to {percent(finding.chance_high)} without leakage"
    return (
        f"Wrong about {fpr:g}% of the non-members, it recognises {percent(finding.value, width)} "
        f"[{low}, {high}] of the members{chance}."
    )
