"""Claimed epsilon beside measured lower bounds: what the coins play, every bound with its ceiling, the controls."""

from __future__ import annotations

from collections.abc import Sequence

from fedprivacy.judge.result import Audit, AuditEstimate, AuditRow
from fedprivacy.reporting.document import Block, Cell, Column, Facts, Layouts, Line, Section, Table, cell, row
from fedprivacy.reporting.text import clean, count, counted, epsilon, level, scientific

NO_EVIDENCE = "inconclusive: no evidence of privacy"
READING = (
    "A lower bound says: epsilon is not below this. {}The ceiling is what an infinite leak would have shown with as "
    "many canaries; no claim at or above it can be refuted here. A bound of 0 is no evidence of privacy."
)
REACHABLE = "Reachable is what the strongest adversary of a mechanism exactly as claimed would have measured. "


def audit_section(audit: Audit, full: bool = True) -> Section:
    """Facts, the judged bounds, those that assume more where it is ``full``, and the controls."""
    judged = [one for one in audit.rows if one.judged]
    apart = [one for one in audit.rows if full and not one.judged and not one.control]
    reading = READING.format(REACHABLE if any(one.reachable is not None for one in audit.rows) else "")
    blocks: list[Block] = [Line(reading, "quiet"), Facts(_facts(audit))]
    if judged:
        blocks.append(_table(judged, audit, "Held against the claim"))
    if apart:
        blocks.append(_table(apart, audit, "Apart, for no verdict rests on them"))
    blocks += [Line(_estimate(one)) for one in audit.estimates]
    blocks += _controls(audit)
    blocks += [Line(clean(note), "quiet") for note in audit.notes]
    return Section("Audit: claimed and measured epsilon", tuple(blocks))


def _facts(audit: Audit) -> tuple[tuple[str, str], ...]:
    federations = counted(audit.federations, "federation")
    coin = f"one {clean(audit.unit)}, {clean(audit.relation)}"
    facts = [
        ("claim", "no finite epsilon" if audit.epsilon is None else f"epsilon {epsilon(audit.epsilon)}"),
        ("delta", scientific(audit.delta)),
        ("a coin decides", coin),
        ("canaries", f"{count(audit.m)} of {federations}: {clean(audit.canaries)}; each is one guess"),
    ]
    if audit.conversion:
        facts.insert(1, ("compared as", clean(audit.conversion)))
    return tuple(facts)


def _table(rows: Sequence[AuditRow], audit: Audit, title: str) -> Layouts:
    several = sum(one.judged for one in audit.rows)
    corrected = f", corrected for {several} rows" if several > 1 else ""
    whose = {_whose(one) for one in rows}
    words = [title, *(whose if len(whose) == 1 else ()), f"{level(audit.level)} lower bounds{corrected}"]
    caption = "; ".join(words)
    reached = [Column("reachable", "right")] if any(one.reachable is not None for one in rows) else []
    numbers = (
        Column("counts", fold=True),
        Column("epsilon at least", "right"),
        *reached,
        Column("ceiling", "right"),
    )
    wide, narrow = [], []
    for one in rows:
        who = [] if len(whose) == 1 else [_whose(one)]
        honest = "-" if one.reachable is None else epsilon(one.reachable, "down")
        end: list[str | Cell] = [_low(one, audit), *([honest] if reached else []), epsilon(one.ceiling, "down")]
        method, assumed = clean(one.method), clean(one.assumption)
        wide.append(row([*who, method, assumed, clean(one.counts), *end]))
        narrow.append(row([cell(method, f"assumes: {assumed}", clean(one.counts), *who), *end]))
    first = [] if len(whose) == 1 else [Column("whose guesses", fold=True)]
    full = (*first, Column("bound", fold=True), Column("assumes", fold=True), *numbers)
    return Layouts(
        (
            (Table(full, tuple(wide), caption),),
            (Table((Column("bound", fold=True), *numbers[1:]), tuple(narrow), caption),),
        )
    )


def _whose(one: AuditRow | AuditEstimate) -> str:
    return f"{clean(one.adversary)}, observing {clean(one.observation)}, {clean(one.statistic)}"


def _low(one: AuditRow, audit: Audit) -> Cell:
    if not one.judged:
        return cell(epsilon(one.low, "down"))
    refuted = audit.epsilon is not None and one.low > audit.epsilon
    return cell(epsilon(one.low, "down"), tone="bad" if refuted else "strong")


def _estimate(one: AuditEstimate) -> str:
    shown = f"{epsilon(one.epsilon)} [{epsilon(one.low, 'down')}, {epsilon(one.high)}]"
    return (
        f"Estimate, no verdict rests on it: epsilon {shown} from the mean difference of scores ({_whose(one)}), "
        f"if they are as assumed: {clean(one.assumption)}."
    )


def _controls(audit: Audit) -> list[Block]:
    """Pure noise must stay at 0, and with the noise off the audit must fire."""
    found: list[Block] = []
    if audit.noise_draws:
        fired, draws = audit.noise_fired, audit.noise_draws
        words = f"Control, scores of pure noise: above 0 in {fired} of {draws} audits"
        fine = fired <= audit.noise_allowed
        end = (
            f" (up to {audit.noise_allowed} are within chance)."
            if fine
            else ": more than chance allows, do not trust it."
        )
        found.append(Line(words + end, "plain" if fine else "bad"))
    off = [one for one in audit.rows if one.control]
    if off:
        best = max(off, key=lambda one: one.low)
        numbers = "; ".join(
            f"{epsilon(one.low, 'down')} of at most {epsilon(one.ceiling, 'down')} by {clean(one.statistic)}"
            for one in off
        )
        silent = best.low <= (audit.epsilon or 0.0)
        weak = "not above the claim even so, so this audit could not have refuted it."
        words = f"Control, {clean(audit.control)}: {numbers}: {weak if silent else 'it fires.'}"
        found.append(Line(words, "warn" if silent else "plain"))
    if not audit.control and audit.epsilon is not None:
        found.append(
            Line("The control with the noise off was not run, so it is not known what the audit can see.", "warn")
        )
    return found
