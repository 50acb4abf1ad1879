"""What a regulator or a registry asks of a deployment, on one page and as JSON.

The blocks are those of the public registry of deployments of differential privacy (OpenDP and NIST, from Nanayakkara et
al., arXiv 2509.13509), filled with what NIST SP 800-226 says an evaluation needs: unit, neighbouring relation,
parameters, trust model, mechanism, accounting and hazards. Beside the claim stands what attacks measured, with the
version of the attacks. What only the data holder knows is listed as missing, never made up.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from fedprivacy.reporting.document import Block, Column, Document, Facts, Line, Section, Table, row
from fedprivacy.reporting.findings import metric_name
from fedprivacy.reporting.text import MISSING, chance_level, clean, count, epsilon, estimate, scientific, sentence

RECORD: Literal["fedprivacy/record/1"] = "fedprivacy/record/1"
TrustModel = Literal["local", "central", "none"]

ASKED = (
    "data curators",
    "intended use",
    "region",
    "publication date",
    "population and eligibility",
    "what becomes of raw data and logs",
    "budget over further releases of the same data",
)
"""Fields of the registry that no run can fill."""


@dataclass(frozen=True)
class Product:
    """What was made."""

    name: str
    data_product_type: str
    description: str
    data_digest: str


@dataclass(frozen=True)
class Flavour:
    """Which differential privacy is claimed."""

    name: str
    data_domain: str
    unprotected_quantities: str


@dataclass(frozen=True)
class Loss:
    """Parameters and unit. ``epsilon`` None is infinite: nothing is claimed."""

    privacy_unit: str
    neighbouring_relation: str
    privacy_unit_description: str
    epsilon: float | None
    delta: float


@dataclass(frozen=True)
class Trust:
    """Who has to be trusted, and against whom the claim holds."""

    model_name: TrustModel
    description: str
    holds_against: str
    releases: int
    release_type: str
    access_type: str


@dataclass(frozen=True)
class Accounting:
    """How the parameters were added up."""

    accountant: str
    second_accountant_epsilon: float | None
    worst: str
    why: str


@dataclass(frozen=True)
class Implementation:
    """What ran."""

    mechanism: str
    mechanism_settings: str
    protocol: str
    crosses_the_wire: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Evidence:
    """What one attack measured, of what version."""

    attack: str
    attack_version: str
    adversary: str
    method: str
    knowledge: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    level: float
    chance: float | None
    chance_low: float | None
    chance_high: float | None
    note: str


@dataclass(frozen=True)
class Judgement:
    """What follows from the evidence."""

    claim: str
    verdict: str
    why: str


@dataclass(frozen=True)
class Record:
    """The whole record."""

    schema: Literal["fedprivacy/record/1"]
    product: Product
    dp_flavor: Flavour
    privacy_loss: Loss
    model: Trust
    accounting: Accounting
    implementation: Implementation
    evidence: tuple[Evidence, ...]
    verdicts: tuple[Judgement, ...]
    hazards: tuple[str, ...]
    to_be_stated_by_the_data_holder: tuple[str, ...] = ASKED

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def document(record: Record) -> Document:
    """One page: the claim first, then whom it holds against, how it was made, what attacks measured, and hazards."""
    loss, model, made = record.privacy_loss, record.model, record.implementation
    claim = [
        ("flavour", record.dp_flavor.name),
        ("epsilon", epsilon(loss.epsilon)),
        ("delta", scientific(loss.delta)),
        ("unit of privacy", loss.privacy_unit),
        ("neighbouring relation", f"{loss.neighbouring_relation}: {loss.privacy_unit_description}"),
        ("trust model", f"{model.model_name}: {model.description}"),
        ("holds against", model.holds_against),
        ("not protected", record.dp_flavor.unprotected_quantities),
    ]
    how = [
        ("product", f"{record.product.name}: {record.product.description}"),
        ("data", f"{record.dp_flavor.data_domain}, digest {record.product.data_digest[:12] or MISSING}"),
        ("mechanism", made.mechanism + (f" ({made.mechanism_settings})" if made.mechanism_settings else "")),
        ("protocol", f"{made.protocol}; {made.crosses_the_wire}"),
        ("accountant", _accountant(record.accounting)),
        ("releases", f"{count(model.releases)}, {model.release_type.lower()}; {model.access_type.lower()}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in made.versions.items())),
    ]
    sections = [
        Section("Privacy claim", (_facts(claim),)),
        Section("What attacks measured", tuple(_evidence(record))),
        Section("Hazards", tuple(Line(clean(words), "warn") for words in record.hazards)),
        Section("How it was made", (_facts(how),)),
        Section("To be stated by the data holder", (Line(", ".join(record.to_be_stated_by_the_data_holder) + "."),)),
    ]
    return Document(f"fedprivacy: privacy record of {record.product.name}", tuple(s for s in sections if s.blocks))


def _facts(pairs: list[tuple[str, str]]) -> Facts:
    return Facts(tuple((name, clean(value) or MISSING) for name, value in pairs))


def _accountant(accounting: Accounting) -> str:
    second = accounting.second_accountant_epsilon
    words = accounting.accountant + ("" if second is None else f"; second accountant: epsilon {epsilon(second)}")
    words += f"; worst: {accounting.worst}" if accounting.worst else ""
    return words + (f"; {accounting.why}" if accounting.why else "")


def _evidence(record: Record) -> list[Block]:
    if not record.evidence:
        return [Line("No attack was run: nothing was measured.", "warn")]
    heads = (
        Column("adversary", fold=True),
        Column("by", fold=True),
        Column("measure"),
        Column("value"),
        Column("no leakage"),
    )
    lines = tuple(
        row(
            [
                clean(one.adversary),
                f"{one.attack}: {clean(one.method)}",
                metric_name(one.metric),
                _value(one),
                chance_level(one.chance, one.chance_low, one.chance_high),
            ]
        )
        for one in record.evidence
        if one.value is not None or one.note
    )
    versions = dict.fromkeys(one.attack_version for one in record.evidence)
    told = [Line(f"{one.verdict}: {clean(one.claim)}. {sentence(clean(one.why))}") for one in record.verdicts]
    return [*told, Table(heads, lines, notes=(f"Attacks: {', '.join(versions)}.",))]


def _value(one: Evidence) -> str:
    if one.value is None or one.low is None:
        return MISSING
    if one.high is None:
        return f"at least {epsilon(one.low, 'down')}"
    return estimate(one.value, one.low, one.high, one.chance)
