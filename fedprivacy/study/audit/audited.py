"""Claimed epsilon beside the measured lower bound: the scores of finished federations against their canaries' coins.

A run folder holds the scores of each adversary and observation with the coins (``scores/``, and ``seeds/*/scores``
for further seeds), so an audit trains nothing and any stored run can be audited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.judge.examiner import NULL
from fedprivacy.judge.result import Audit, AuditEstimate, AuditRow, PrivacyClaim, RunResult
from fedprivacy.metrics.epsilon.mean_shift import GaussianEstimate
from fedprivacy.privacy import event_from_json
from fedprivacy.privacy.comparable import Comparable, Incomparable, comparable
from fedprivacy.privacy.comparable import Game as Played
from fedprivacy.study.audit import bounds
from fedprivacy.study.audit.curves import Family
from fedprivacy.study.audit.guessed import Guessed, guessed
from fedprivacy.study.audit.verdict import verdicts_of
from fedprivacy.study.job import SUMMARY
from fedprivacy.study.resolved import Study

PLAYED: Mapping[str, Played] = {
    "record": Played("record", "add-remove"),
    "pair": Played("record", "replace-one"),
    "client": Played("client", "replace-one"),
}
"""What one coin decides, as unit and neighbouring relation."""


GAUSSIAN_PAIR = "independent scores, Gaussian, of one spread with the canary in and out"
"""What the estimate assumes: a pair of Gaussians (Agrawal et al. 2026, arXiv 2606.12733), here of equal spread."""


STATED = "stated by the user"
"""The accountant of a claim that nobody here worked out; no mechanism stands behind it."""


@dataclass(frozen=True)
class Settings:
    """How bounds are taken: see :func:`fedprivacy.study.audit.bounds.bounds_of`."""

    level: float = 0.95
    guesses: int | str = "grid"
    root: int = 0

    @classmethod
    def of(cls, level: float, guesses: int | None, root: int) -> Settings:
        """The same where no number of guesses was asked for: it follows from the claim and the canaries alone."""
        return cls(level, "grid" if guesses is None else guesses, root)


def held(claim: PrivacyClaim, played: Played) -> Comparable | None:
    """The claim as one about ``played``; None where no finite epsilon is claimed. Raises UsageError."""
    if claim.epsilon is None:
        return None
    try:
        return comparable(Played(claim.unit, claim.relation), claim.epsilon, claim.delta, played)  # type: ignore[arg-type]
    except Incomparable as error:
        raise UsageError(f"no audit: {error}.") from None


def audited(
    result: RunResult,
    study: Study,
    where: Path,
    control: tuple[Path, str] | None = None,
    settings: Settings | None = None,
) -> RunResult:
    """``result`` with its audit and the verdict on its claim, from the scores in run folder ``where``.

    ``control``: the run folder of the same federations without noise, and what it is in words. Findings stay for the
    statistics that are judged; on coins that decide several records none do, since their intervals take records as
    independent. ``settings``: how bounds are taken, where not as the study has it.
    """
    played = study.canaries
    settings = settings or Settings.of(study.attack.level, played.guesses, study.roots[0])
    rows, notes = guessed(study, where, result.privacy)
    claim = held(result.privacy, PLAYED[played.coins])
    off = None if control is None else (guessed(study, control[0], None)[0], control[1])
    nothing_behind = claim is None or claim.how or result.privacy.accountant == STATED
    family = None if nothing_behind or claim is None else family_of(study, where, claim)
    found = audit_of(rows, claim, result.privacy.delta, played.coins, settings, off, family)
    kinds = {"as-is": "records as they are"}
    found = replace(found, canaries=kinds.get(played.kind, f"{played.kind} records"), notes=notes)
    shown = {row.statistic for row in rows} | {NULL} if played.coins == "record" else set()
    findings = tuple(finding for finding in result.findings if finding.statistic in shown)
    return replace(result, findings=findings, audit=found, verdicts=verdicts_of(result.privacy, found))


def family_of(study: Study, where: Path, claim: Comparable) -> Family | None:
    """The mechanism behind the claim of run folder ``where``, from its privacy events; None where no one curve is.

    Each seed is a federation with coins of its own, so what they pay is never composed: the one that pays most stands
    for the claim.
    """
    families = []
    for root in study.roots:
        events = folder.read_json(study.place(where, root) / SUMMARY)["events"]
        families.append(Family.of([event_from_json(event) for event in events], claim.delta))
    known = [family for family in families if family is not None]
    return max(known, key=lambda family: family.at(1.0)[0]) if len(known) == len(families) else None


def audit_of(
    rows: Sequence[Guessed],
    claim: Comparable | None,
    delta: float,
    coins: str,
    settings: Settings,
    control: tuple[Sequence[Guessed], str] | None = None,
    family: Family | None = None,
) -> Audit:
    """Bounds of all ``rows``, each at a level corrected for their number, at the delta of ``claim``.

    ``family``: the mechanism behind the claim, where it is about what the coins play.

    ``delta`` is used where nothing finite is claimed; ``coins`` says what one decides (a key of :data:`PLAYED`).
    """
    delta = delta if claim is None else claim.delta
    own = [(one, _bounds(one, delta, len(rows), settings, family)) for one in rows]
    listed = [row for one, found in own for row in _listed(one, found, control=False)]
    if control is not None:
        for one in control[0]:
            listed += _listed(one, _bounds(one, delta, len(control[0]), settings, family), control=True)
    noise = bounds.NoiseControl(0, 0, 0)
    if rows:
        most = max(rows, key=lambda row: len(row.coins))
        noise = bounds.noise_control(
            most.coins,
            delta=delta,
            level=settings.level,
            rows=len(rows),
            guesses=settings.guesses,
            root=settings.root,
            family=family,
        )
    return Audit(
        unit=PLAYED[coins].unit,
        relation=PLAYED[coins].relation,
        canaries="",
        m=max((len(row.coins) for row in rows), default=0),
        federations=max((row.federations for row in rows), default=0),
        epsilon=None if claim is None else claim.epsilon,
        delta=delta,
        level=settings.level,
        rows=tuple(listed),
        estimates=tuple(_estimated(one, found.estimate) for one, found in own if found.estimate is not None),
        conversion="" if claim is None else claim.how,
        noise_draws=noise.draws,
        noise_fired=noise.fired,
        noise_allowed=noise.allowed,
        control="" if control is None else control[1],
    )


def _bounds(one: Guessed, delta: float, rows: int, settings: Settings, family: Family | None) -> bounds.Bounds:
    try:
        return bounds.bounds_of(
            one.scores,
            one.coins,
            delta=delta,
            level=settings.level,
            rows=rows,
            guesses=settings.guesses,
            groups=one.groups,
            odds=one.odds,
            root=settings.root,
            family=family,
        )
    except ValueError as error:
        raise UsageError(f"--guesses: {error}") from None


def _listed(one: Guessed, found: bounds.Bounds, control: bool) -> Iterator[AuditRow]:
    for bound in (*found.judged, *(() if control else found.apart)):
        yield AuditRow(
            one.adversary,
            one.observation,
            one.statistic,
            bound.method,
            bound.assumption,
            bound.low,
            bound.ceiling,
            bound.describe(),
            judged=bound in found.judged and not control,
            control=control,
            reachable=bound.reachable,
        )


def _estimated(one: Guessed, found: GaussianEstimate) -> AuditEstimate:
    return AuditEstimate(
        one.adversary, one.observation, one.statistic, found.epsilon, found.low, found.high, GAUSSIAN_PAIR
    )
