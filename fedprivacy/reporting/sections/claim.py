"""What the accountant may say about differential privacy, with everything a claim must name."""

from __future__ import annotations

from fedprivacy.judge.result import PrivacyClaim, RunResult
from fedprivacy.reporting.document import Block, Facts, Line, Section
from fedprivacy.reporting.text import clean, count, epsilon, scientific, sentence


def claim_section(result: RunResult) -> Section:
    """Epsilon and delta with unit, relation, accountant and counted releases; infinite and missing said as such."""
    claim = result.privacy
    facts = [
        ("epsilon", epsilon(claim.epsilon)),
        ("delta", scientific(claim.delta)),
        ("unit", clean(claim.unit) or "not stated"),
        ("neighbouring relation", clean(claim.relation) or "not stated"),
        ("adversary", clean(claim.adversary) or "not stated"),
        ("accountant", clean(claim.accountant) or "not stated"),
        ("releases counted", count(claim.releases)),
    ]
    if claim.worst:
        facts.append(("worst record", clean(claim.worst)))
    if claim.cross_check is not None:
        facts.append(("second accountant", f"epsilon {epsilon(claim.cross_check)}"))
    meaning = _meaning(claim)
    why = f" Why: {sentence(clean(claim.why))}" if claim.why else ""
    blocks: list[Block] = [Facts(tuple(facts)), Line(meaning.text + why, meaning.tone)]
    if claim.vacuous and claim.epsilon is not None:
        blocks.append(Line("Vacuous: delta is one over the records of a client, or more.", "bad"))
    if claim.seeded and claim.epsilon is not None:
        blocks.append(Line("The noise came from a named seed: for measurement only, no guarantee.", "warn"))
    return Section("Privacy claim", tuple(blocks))


def claim_gaps(claim: PrivacyClaim) -> tuple[str, ...]:
    """Parts without which a finite epsilon is no claim."""
    parts = (
        ("unit", claim.unit),
        ("neighbouring relation", claim.relation),
        ("accountant", claim.accountant),
    )
    return tuple(name for name, value in parts if not value.strip())


def _meaning(claim: PrivacyClaim) -> Line:
    if claim.epsilon is None:
        return Line("Epsilon is infinite: no differential privacy is claimed.", "warn")
    gaps = claim_gaps(claim)
    if gaps:
        return Line(f"No claim: {', '.join(gaps)} not stated.", "bad")
    if claim.releases == 0:
        return Line("Nothing that depends on private data was released.")
    return Line(f"An upper bound for one {clean(claim.unit)}, over {_all(claim.releases)}.")


def _all(releases: int) -> str:
    return "its one release" if releases == 1 else f"all {count(releases)} releases"
