"""An adversary's membership attacks in a few rows: what was declared, what read most, the plain loss, and a control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedprivacy.judge.comparison import STACK
from fedprivacy.judge.result import Finding
from fedprivacy.reporting.document import Cell, Column, Footnotes, Table, cell
from fedprivacy.reporting.findings import (
    fpr_of,
    is_null,
    is_selected,
    main_target,
    of_statistic,
)
from fedprivacy.reporting.sections.chance_table import chance_table
from fedprivacy.reporting.sections.rate_table import CHANCE
from fedprivacy.reporting.text import clean, counted

LOSS = "loss"
"""The statistic that every attack has to beat: one model, one number, no reference."""
HEADLINE, STRONGEST, HIGHEST, NULL = "headline", "strongest here", "highest", "null"
ROLES: Mapping[str, str] = {
    HEADLINE: "declared before the run, and alone decides",
    STRONGEST: "all signals stacked, learned on others' coins",
    HIGHEST: "the highest AUC of all tried, picked afterwards",
    LOSS: "the loss alone, without references",
    NULL: "the headline's scores against shuffled coins",
}
"""What the rows are, in their order."""
ALONE = "declared before the run, and alone decides; nothing was stacked, so it is the strongest declared here"
"""What the headline is where no stack was declared."""
FAILED = "declared before the run, and alone decides; where it failed, nothing does"
"""What it is where one failed."""
LEAST_FPR = 1.0
"""In per cent; TPRs at lower rates are in the whole report."""


@dataclass(frozen=True)
class Attack:
    """One statistic on one observation with its rates about the main target, AUC first."""

    observation: str
    statistic: str
    rates: Mapping[str, Finding]

    @property
    def auc(self) -> float | None:
        """Its AUC, where it has one."""
        return self.rates["auc"].value if "auc" in self.rates else None


def attacks(findings: Sequence[Finding]) -> list[Attack]:
    """Every statistic on every observation of one adversary, about what speaks for all clients."""
    found = []
    for observation in dict.fromkeys(f.observation for f in findings):
        own = [f for f in findings if f.observation == observation]
        target = main_target(own)
        for statistic in dict.fromkeys(f.statistic for f in own):
            rates = of_statistic(own, statistic, target)
            shown = {metric: f for metric, f in rates.items() if (fpr_of(metric) or LEAST_FPR) >= LEAST_FPR}
            if shown:
                found.append(Attack(observation, statistic, shown))
    return found


def highest(known: Sequence[Attack]) -> tuple[Attack, int] | None:
    """The attack of the highest AUC, and out of how many it was picked; controls and selections are none."""
    picked = [one for one in known if one.auc is not None and not is_null(one.statistic)]
    picked = [one for one in picked if not is_selected(one.statistic)]
    return (max(picked, key=lambda one: one.auc or 0.0), len(picked)) if picked else None


def four_rows(findings: Sequence[Finding]) -> Table | None:
    """The rows of one adversary (AUC and TPR), chance below each title; None where no number speaks for all."""
    known = attacks(findings)
    chosen = list(_roles(findings, known))
    if not chosen:
        return None
    first, marks = chosen[0][1], Footnotes()
    rows = [(_name(role, one, first, marks), one.rates) for role, one in chosen]
    return chance_table(rows, Column("attack", fold=True, under=CHANCE), _caption(first), marks)


def _roles(findings: Sequence[Finding], known: Sequence[Attack]) -> Iterator[tuple[str, Attack]]:
    """Headlines, the stack, the highest, loss and null of the headline's observation; one attack has one row."""
    declared = [(f.observation, f.statistic) for f in findings if f.headline]
    headlines = [one for one in known if (one.observation, one.statistic) in declared]
    best, seen = highest(known), list[Attack]()
    stacks = [one for one in known if one.statistic == STACK and one.auc is not None and one not in headlines]
    for role, one in (*((HEADLINE, one) for one in headlines), *((STRONGEST, one) for one in stacks)):
        also = best is not None and best[0] is one and best[1] > 1
        yield (f"{role}, {HIGHEST}" if also else role), one
        seen.append(one)
    if best is not None and best[0] not in seen:
        yield HIGHEST, best[0]
        seen.append(best[0])
    here = seen[0].observation if seen else ""
    near = sorted(known, key=lambda one: one.observation != here)
    for role in (LOSS, NULL):
        fitting = (one for one in near if (is_null(one.statistic) if role == NULL else one.statistic == LOSS))
        yield from ((role, one) for one in list(fitting)[:1] if one not in seen)


def legend(tables: Sequence[Table], findings: Sequence[Finding]) -> str:
    """What the rows of ``tables`` are, each told once; ``findings``: all rates, with or without a number."""
    names = " ".join(cells[0].lines[0] for table in tables for cells in table.rows)
    stacked = any(f.statistic == STACK for f in findings)
    failed = any(f.headline and f.flag == "error" for f in findings)
    roles = {**ROLES, HEADLINE: FAILED if failed else ROLES[HEADLINE] if stacked else ALONE}
    return f"{'; '.join(f'{role}: {words}' for role, words in roles.items() if role in names)}."


def _name(role: str, one: Attack, first: Attack, marks: Footnotes) -> Cell:
    # What was stacked is all that the adversary received, whichever observation that came by.
    where = (
        ""
        if one.observation == first.observation or one.statistic == STACK
        else f" {marks.mark(f'on {clean(one.observation)}')}"
    )
    name = NULL if is_null(one.statistic) else clean(one.statistic)
    words = f"{role}: {name}{where}" if role not in (LOSS, NULL) else f"{name}{where}"
    return cell(words, tone="strong" if role.startswith(HEADLINE) else "plain")


def _caption(first: Attack) -> str:
    """Who, on what, about how many candidates."""
    one = next(iter(first.rates.values()))
    records = f"{counted(one.members, 'member')}, {counted(one.non_members or 0, 'non-member')}" if one.members else ""
    return "; ".join(filter(None, (f"{clean(one.adversary)}, {clean(first.observation)}", records)))
