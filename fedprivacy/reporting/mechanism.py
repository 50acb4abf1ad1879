"""The audit of a mechanism as a document: the claim, what was called, the bound, the estimate, the verdict."""

from __future__ import annotations

from fedprivacy.judge.mechanism import MechanismAudit
from fedprivacy.reporting.document import Document, Facts, Line, Section
from fedprivacy.reporting.formats import Findings
from fedprivacy.reporting.html import document_to_html
from fedprivacy.reporting.sections.verdicts import verdict_line
from fedprivacy.reporting.text import clean, count, epsilon, level, scientific
from fedprivacy.reporting.tidy import Row

READING = (
    "A lower bound says: epsilon is not below this. Reachable is what Gaussian noise of exactly this claim would have "
    "shown by the same test, the ceiling what no noise at all would have shown in as many calls."
)
EARLY = (
    "A lower bound says: epsilon is not below this. It holds however often one looked. The ceiling is what no noise at "
    "all would have refuted in as many calls."
)
METHODS = {False: "Clopper-Pearson", True: "bets on calls as they came"}
"""How the bound was taken, by whether the audit may stop early."""
BEYOND = 1000.0
"""An estimate above this is told as such: nothing is protected, and its digits mean nothing."""


def findings_of(found: MechanismAudit) -> Findings:
    """In any format."""
    document = mechanism_report(found)
    rows = [
        Row(found.mechanism, "privacy", "epsilon", found.claim),
        Row(found.mechanism, "audit", "epsilon at least", found.low, level=found.level, statistic=found.statistic),
    ]
    return Findings(document, rows, (found.verdict,), found.to_json(), lambda: document_to_html(document, {}))


def mechanism_report(found: MechanismAudit) -> Document:
    """One section, with the verdict last."""
    early = found.budget is not None
    which = f"outputs whose {clean(found.statistic)} is {clean(found.region)}: {clean(found.counts)}"
    made = f"{count(found.calls)}, of which {count(found.judged)} judge; the others chose how"
    facts: tuple[tuple[str, str], ...] = (
        ("claim", f"epsilon {epsilon(found.claim)}, delta {scientific(found.delta)}, {clean(found.relation)} inputs"),
        ("inputs", clean(found.inputs)),
        ("calls", f"{made}; at most {count(found.budget)}, fewer if it falls" if found.budget is not None else made),
        (
            "bet on" if early else "counted",
            which,
        ),
        ("epsilon at least", f"{epsilon(found.low, 'down')} ({level(found.level)}, {METHODS[early]})"),
        ("reachable", "-" if found.reachable is None else epsilon(found.reachable, "down")),
        ("ceiling", epsilon(found.ceiling, "down")),
        ("if Gaussian", estimated(found.estimate)),
    )
    if early:
        facts = tuple(fact for fact in facts if fact[0] not in ("reachable", "if Gaussian"))
    blocks = (Line(EARLY if early else READING, "quiet"), Facts(facts), verdict_line(found.verdict))
    return Document(f"fedprivacy: {clean(found.mechanism)}", (Section("Audit of a mechanism", blocks),))


def estimated(estimate: tuple[float, float, float] | None) -> str:
    """``about 10.4 [10.1, 10.8], which decides nothing``."""
    if estimate is None:
        return "no estimate: the outputs are not Gaussian of one spread, or delta is 0"
    middle, low, high = estimate
    if low > BEYOND:
        return f"above {count(int(BEYOND))}, which decides nothing"
    return f"about {epsilon(middle)} [{epsilon(low, 'down')}, {epsilon(high)}], which decides nothing"
