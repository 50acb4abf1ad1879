"""The record of a stored result: claim, mechanism and trust model in the words of registries, attacks as evidence."""

from __future__ import annotations

from collections.abc import Iterator

from fedprivacy import catalog
from fedprivacy.attacks.version import NAME
from fedprivacy.defenses.names import DEFENSES
from fedprivacy.judge.result import PrivacyClaim, RunResult
from fedprivacy.privacy.claim import RECEIVERS
from fedprivacy.reporting.findings import is_client
from fedprivacy.reporting.record import (
    RECORD,
    Accounting,
    Evidence,
    Flavour,
    Implementation,
    Judgement,
    Loss,
    Product,
    Record,
    Trust,
    TrustModel,
)
from fedprivacy.reporting.settings import options, protocol_name, run_name, setting
from fedprivacy.reporting.text import clean, count, counted

RELATIONS = {
    "add-remove": "one {} more or less (unbounded)",
    "replace-one": "one {} exchanged for another (bounded)",
    "zero-out": "one {} in or blank",
}
TRUSTS: dict[TrustModel, str] = {
    "local": "each client adds the noise before anything leaves it; nobody else is trusted with records",
    "central": "a server that is trusted with what clients send adds the noise",
    "none": "no noise is added: whoever receives messages has to be trusted",
}
FLOATS = (
    "Noise is drawn in floating point from a pseudo-random generator; attacks on its rounding are not defended against."
)


def record(result: RunResult) -> Record:
    """The record of ``result``; what no run knows is left to the data holder."""
    config, claim = result.config, result.privacy
    protocol = setting(config, "protocol")
    card = catalog.card(protocol) if protocol is not None else None
    defense = str(setting(config, "defense.name") or "none")
    settings = {"epsilon": setting(config, "defense.epsilon"), "sigma": setting(config, "defense.sigma")}
    chosen = {name: value for name, value in settings.items() if value is not None}
    chosen |= setting(config, "defense.options") or {}
    dataset = clean(setting(config, "data.dataset") or "scores of models trained elsewhere")
    return Record(
        schema=RECORD,
        product=Product(run_name(result), "Machine learning model", _made(result), result.provenance.data_digest),
        dp_flavor=Flavour(_flavour(claim), f"training records of {dataset}", _unprotected(claim)),
        privacy_loss=Loss(claim.unit, claim.relation, _relation(claim), claim.epsilon, claim.delta),
        model=_trust(claim),
        accounting=Accounting(claim.accountant, claim.cross_check, claim.worst, claim.why),
        implementation=Implementation(
            f"{defense}: {DEFENSES[defense].about}" if defense in DEFENSES else defense,
            options(chosen),
            f"{card.title} ({card.source})" if card is not None else protocol_name(result),
            card.crosses_the_wire if card is not None else "scores",
            dict(result.provenance.versions),
        ),
        evidence=tuple(_evidence(result)),
        verdicts=tuple(Judgement(one.claim, one.verdict, one.why) for one in result.verdicts),
        hazards=tuple(_hazards(result)),
    )


def _made(result: RunResult) -> str:
    clients, rounds = setting(result.config, "clients"), setting(result.config, "rounds")
    if clients is None or rounds is None:
        return "judged from scores alone"
    return f"trained by {counted(clients, 'client')} in {counted(rounds, 'round')}"


def _relation(claim: PrivacyClaim) -> str:
    return RELATIONS.get(claim.relation, "one {} changed").format(claim.unit)


def _unprotected(claim: PrivacyClaim) -> str:
    return claim.why if claim.epsilon is None else "nothing that crosses the wire"


def _flavour(claim: PrivacyClaim) -> str:
    if claim.epsilon is None:
        return "none: no differential privacy is claimed"
    return "pure DP" if claim.delta == 0 else "approximate DP"


def _trust(claim: PrivacyClaim) -> Trust:
    name: TrustModel = "none" if claim.epsilon is None else "central" if claim.adversary == RECEIVERS else "local"
    against = "nobody" if claim.epsilon is None else f"whoever sees: {claim.adversary}"
    many = "Many releases" if claim.releases > 1 else "One-shot release"
    return Trust(name, TRUSTS[name], against, claim.releases, many, "Non-interactive")


def _evidence(result: RunResult) -> Iterator[Evidence]:
    """Bounds of an audit that count, then the declared number of each attack over all clients."""
    versions = result.provenance.versions
    version = f"fedprivacy {versions.get('fedprivacy', '?')}" + (f", code {versions[NAME]}" if NAME in versions else "")
    audit = result.audit
    for bound in () if audit is None else audit.rows:
        if bound.judged and audit is not None:
            how = f"{bound.statistic} on {bound.observation}, {bound.method}"
            told = ("audit", version, bound.adversary, how, "", "epsilon at least", bound.low, bound.low, None)
            yield Evidence(*told, audit.level, 0.0, None, None, f"{bound.counts}; assumes {bound.assumption}")
    for found in result.findings:
        if found.headline and not is_client(found.target):
            yield Evidence(
                found.attack,
                version,
                found.adversary,
                f"{found.statistic} on {found.observation}",
                found.knowledge,
                found.metric,
                found.value,
                found.low,
                found.high,
                found.level,
                found.chance,
                found.chance_low,
                found.chance_high,
                found.note,
            )


def _hazards(result: RunResult) -> Iterator[str]:
    claim = result.privacy
    if claim.epsilon is None:
        yield f"No bound protects anybody: {claim.why or 'nothing is claimed'}."
        return
    if claim.seeded:
        yield "The noise came from a named seed, for measurement only: whoever knows the seed subtracts it."
    if claim.vacuous:
        yield "Delta is one over the records of a client, or more: giving one record away at random would pass."
    if result.provenance.seeds > 1:
        yield f"{count(result.provenance.seeds)} repetitions were trained to measure; the claim is about one of them."
    yield FLOATS
