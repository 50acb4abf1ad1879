"""A paper's claims judged on its rows.

One rule for every claim: it is supported by any one own row that beats all rivals and controls, and refuted where all
declared own rows were run and each loses to a rival. Intervals are corrected for all declared own rows, run or not, so
leaving rows out buys nothing; a rival or control that was not run leaves the claim open.

Accuracy: paired differences over seeds, in accuracy at one half and in AUC, so that a better threshold alone does not
count as a better model; a row wins or loses in both.

Bandwidth: bytes of all messages and of the delivery of public records, which no seed moves. The fewer, with the
delivery counted, win.

Membership: the AUC of one adversary of equal power, knowledge and effort, paired over seeds. What tells less wins,
unless a weaker attack read it; rows attacked on unequal terms, or one whose seeds were, leave the claim open.

A changed task (other image size, other rounds, other settings) is another task: it gets no verdict on the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from scipy.stats import t as student

from fedprivacy.judge.result import Kind, Verdict
from fedprivacy.judge.weaker import weaker
from fedprivacy.metrics.intervals import Interval, corrected_level, paired_interval
from fedprivacy.reporting.text import counted, size
from fedprivacy.study.paper.recipe import Claim, Recipe
from fedprivacy.study.paper.rows import Row

LEVEL = 0.95
FINE = 0.005
"""Half a point: the precision that the seeds still needed are told for."""
MOST_SEEDS = 1000
SAME = 1.05
"""Ratio of bytes up to which two rows need as much."""


def judged(chosen: Recipe, rows: Sequence[Row], same_task: bool = True) -> list[Verdict]:
    """One verdict a claim of which an own row was run."""
    found = {row.key: row for row in rows}
    return [Verdict(c.claim, chosen.source, *_of(c, found, same_task)) for c in chosen.claims if {*c.own} & {*found}]


def _of(claim: Claim, found: Mapping[str, Row], same_task: bool) -> tuple[Kind, str]:
    own = [found[key] for key in claim.own if key in found]
    others = [found[key] for key in (*claim.rivals, *claim.controls) if key in found]
    if not others:
        return "inconclusive", "the rows that decide it were not all run"
    about = {"accuracy": _accuracy, "bandwidth": _bandwidth, "membership": _membership}[claim.about]
    kind, why = about(claim, own, others)
    missing = sorted({*claim.own, *claim.rivals, *claim.controls} - set(found))
    why += f"; not run: {', '.join(missing)}" if missing else ""
    if kind == "supported" and {*claim.rivals, *claim.controls} & {*missing}:
        kind = "inconclusive"
    if not same_task:
        kind, why = "inconclusive", f"another task than the paper's: {why}"
    if claim.overturned_by:
        why += f". Could be overturned by: {claim.overturned_by}"
    return kind, why


def _accuracy(claim: Claim, own: Sequence[Row], others: Sequence[Row]) -> tuple[Kind, str]:
    if len(own[0].accuracy) < 2:
        return "inconclusive", _single(own, others, "accuracy", 100, "points")
    level = corrected_level(LEVEL, len(claim.own))
    words, winners, losers = [], [], []
    for a in own:
        gaps = {b.key: [gap for name in ("accuracy", "auc") for gap in _gap(a, b, name, level)] for b in others}
        words += [f"{a.key} - {key}: {_said(pair)}" for key, pair in gaps.items()]
        if all(gap.low > 0 for pair in gaps.values() for gap in pair):
            winners.append(a.key)
        if any(all(gap.high < 0 for gap in gaps[key]) for key in claim.rivals if key in gaps):
            losers.append(a.key)
    why = "; ".join(words) + f"; intervals at {100 * level:g}%, corrected for {counted(len(claim.own), 'own row')}"
    kind, why = _ruled(claim, winners, losers, why)
    if kind != "inconclusive":
        return kind, why
    needed = {b.key: seeds_for(own[0].accuracy, b.accuracy, FINE, level) for b in others}
    more = ", ".join(f"{own[0].key} - {key} {number}" for key, number in needed.items())
    return "inconclusive", f"{why}; seeds for half a point: {more}"


def _ruled(claim: Claim, winners: Sequence[str], losers: Sequence[str], why: str) -> tuple[Kind, str]:
    """The rule of every claim, by the own rows that beat all others and those that lose to a rival."""
    if winners:
        return "supported", f"by row {', '.join(winners)}: {why}"
    return ("refuted" if {*losers} >= {*claim.own} else "inconclusive"), why


def _bandwidth(claim: Claim, own: Sequence[Row], others: Sequence[Row]) -> tuple[Kind, str]:
    words, winners, losers = [], [], []
    for a in own:
        ratios = {}
        for b in others:
            plain, whole = (_bytes(b, counts) / _bytes(a, counts) for counts in (False, True))
            ratios[b.key] = whole
            words.append(f"{a.key} against {b.key}: {_times(plain)} in messages, {_times(whole)} with public records")
        if min(ratios.values()) > SAME:
            winners.append(a.key)
        if any(ratios[key] < 1 / SAME for key in claim.rivals if key in ratios):
            losers.append(a.key)
    start = max(row.start_bytes for row in (*own, *others))
    why = "; ".join(words) + f"; the common start of {size(start)} to all clients comes on top on both sides"
    return _ruled(claim, winners, losers, why)


def _membership(claim: Claim, own: Sequence[Row], others: Sequence[Row]) -> tuple[Kind, str]:
    told = "; ".join(f"{row.key} {_mean(row)} ({row.attack})" for row in (*own, *others))
    if any(not row.membership.get("AUC") for row in (*own, *others)):
        return "inconclusive", f"an attack gave no number: {told}"
    if len(own[0].membership["AUC"]) < 2:
        return "inconclusive", f"{_single(own, others, 'membership', 1, 'AUC')}: {told}"
    level = corrected_level(LEVEL, len({*claim.own}) * len({*claim.rivals, *claim.controls}))
    gaps = {(a.key, b.key): _gap(a, b, "membership", level)[0] for a in own for b in others}
    words = "; ".join(f"{a} - {b}: {_signed(gap)}" for (a, b), gap in gaps.items())
    why = f"AUC of membership {words} at {100 * level:g}%; {told}"
    terms = {row.key: ", in other seeds ".join(row.terms) for row in (*own, *others)}
    if len({*terms.values()}) > 1 or any(len(row.terms) > 1 for row in (*own, *others)):
        return "inconclusive", f"unequal terms ({'; '.join(f'{key}: {said}' for key, said in terms.items())}); {why}"
    by_weaker: dict[tuple[str, str], str] = {}
    for a, b in product(own, others):
        gap = gaps[a.key, b.key]
        less, more = (a, b) if gap.high < 0 else (b, a)
        words = "" if gap.low <= 0 <= gap.high else weaker(less.headline, more.headline)
        by_weaker |= {(a.key, b.key): f"{less.key}: {words}"} if words else {}
    why = "; ".join([why, *dict.fromkeys(by_weaker.values())])
    gaps = {pair: gap for pair, gap in gaps.items() if pair not in by_weaker}
    winners = [a.key for a in own if all((a.key, b.key) in gaps and gaps[a.key, b.key].high < 0 for b in others)]
    rivals = [b.key for b in others if b.key in claim.rivals]
    losers = [a.key for a in own if any((a.key, b) in gaps and gaps[a.key, b].low > 0 for b in rivals)]
    return _ruled(claim, winners, losers, why)


def seeds_for(own: Sequence[float], other: Sequence[float], half: float, level: float) -> str:
    """How many seeds a paired interval of this spread needs to reach plus or minus ``half``."""
    spread = float(np.std(np.subtract(own, other), ddof=1))
    for number in range(2, MOST_SEEDS):
        if student.ppf((1 + level) / 2, number - 1) * spread / math.sqrt(number) <= half:
            return f"{number}"
    return f"over {MOST_SEEDS}"


def _values(row: Row, name: str) -> Sequence[float]:
    return row.membership.get("AUC", ()) if name == "membership" else getattr(row, name)


def _gap(own: Row, other: Row, name: str, level: float) -> list[Interval]:
    """The paired difference, where both rows have the metric in as many seeds; else none."""
    a, b = _values(own, name), _values(other, name)
    return [paired_interval(a, b, level)] if len(a) == len(b) > 1 else []


def _single(own: Sequence[Row], others: Sequence[Row], name: str, scale: float, unit: str) -> str:
    digits = 1 if scale > 1 else 3
    gaps = "; ".join(
        f"{a.key} - {b.key}: {scale * (_values(a, name)[0] - _values(b, name)[0]):+.{digits}f} {unit}"
        for a in own
        for b in others
    )
    return f"one seed has no interval ({gaps}); --seeds 5"


def _said(gaps: Sequence[Interval]) -> str:
    accuracy, *auc = gaps
    low, high = 100 * accuracy.low, 100 * accuracy.high
    return ", ".join(
        [f"{100 * accuracy.value:+.1f} [{low:+.1f}, {high:+.1f}] points", *(f"AUC {_signed(g, 4)}" for g in auc)]
    )


def _signed(gap: Interval, digits: int = 3) -> str:
    return f"{gap.value:+.{digits}f} [{gap.low:+.{digits}f}, {gap.high:+.{digits}f}]"


def _mean(row: Row) -> str:
    values = row.membership.get("AUC", ())
    return f"{np.mean(values):.3f}" if values else "-"


def _bytes(row: Row, public: bool) -> int:
    return max(1, row.up_bytes + row.down_bytes + (row.public_bytes if public else 0))


def _times(ratio: float) -> str:
    return f"{ratio:,.1f} times fewer bytes" if ratio >= 1 else f"{1 / ratio:,.1f} times more bytes"
