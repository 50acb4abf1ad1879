"""What the accountant may say about differential privacy, with everything a claim must name."""

from __future__ import annotations

from fedprivacy.reporting.document import Block, Facts, Line, Section
from fedprivacy.reporting.settings import setting
from fedprivacy.reporting.text import clean, count, epsilon, scientific, sentence
from fedprivacy.result import PrivacyClaim, RunResult


def claim_section(result: RunResult) -> Section:
    """Epsilon and delta with unit, relation, accountant and counted releases; infinite and missing said as such."""
    claim = result.privacy
    facts = Facts(
        (
            ("epsilon", epsilon(claim.epsilon)),
            ("delta", scientific(claim.delta)),
            ("unit", clean(claim.unit) or "not stated"),
            ("neighbouring relation", clean(claim.relation) or "not stated"),
            ("accountant", clean(claim.accountant) or "not stated"),
            ("releases counted", count(claim.releases)),
        )
    )
    meaning = _meaning(claim)
    why = f" Why: {sentence(clean(claim.why))}" if claim.why else ""
    blocks: list[Block] = [facts, Line(meaning.text + why, meaning.tone)]
    candidates = setting(result.config, "data.candidates")
    if claim.epsilon is not None and isinstance(candidates, int) and claim.delta * candidates >= 1:
        records = f"{count(candidates)} records a client at most"
        blocks.append(Line(f"Vacuous: delta is not below 1/n, with n = {records}.", "bad"))
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
    return Line(f"An upper bound for one {clean(claim.unit)}, over all {count(claim.releases)} releases.")
