"""Folds the privacy events of a run into one claim, once, at the end.

One client's record touches that client's messages alone, given what was sent before, so clients with disjoint records
are taken at their maximum and the rounds of one client by adaptive composition. A release that depends on one fold
beside what is private already is paid for by that fold alone: DP-SGD on a new fold each round costs one round.

Gaussian noise alone: the closed form. Anything else: privacy loss distributions, with the Renyi bound beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import scipy

from fedprivacy.privacy.claim import RECEIVERS, SEEDED, TRANSCRIPT, Claim
from fedprivacy.privacy.closed_forms import gaussian_epsilon, replace_one, subsampling
from fedprivacy.privacy.events import PrivacyEvent, Relation
from fedprivacy.privacy.ledger import Ledger, ledger
from fedprivacy.privacy.mechanisms import (
    NoNoise,
    PoissonSampledGaussian,
    PostProcessing,
    RandomizedResponse,
    SubsampleWithoutNoise,
)

BARE = (NoNoise, SubsampleWithoutNoise)
"""Mechanisms for which no finite epsilon holds at a small delta."""

GIVE_UP = 300.0
"""Above this epsilon nothing is protected; the Renyi bound is good enough, and a loss distribution would be huge."""


@dataclass(frozen=True)
class Cost:
    """Epsilon of one ledger, who computed it, and the second opinion."""

    epsilon: float
    accountant: str
    cross_check: float | None = None


def claim(events: Iterable[PrivacyEvent], delta: float, records: int | None = None, seeded: bool = True) -> Claim:
    """The claim of a whole run at ``delta``.

    ``records``: the smallest number of records of a client; a delta of one over it or more is vacuous. Events of
    different relations are brought to replace-one before they are added. Raises ValueError for events of different
    units, and for Poisson sampling under replace-one, which no accountant here knows.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must be in (0, 1), not {delta}")
    listed = [event for event in events if not isinstance(event.mechanism, PostProcessing)]
    bare = [event for event in listed if isinstance(event.mechanism, BARE)]
    noised = [event for event in listed if not isinstance(event.mechanism, BARE)]
    _refuse(noised)
    adversary = RECEIVERS if any(event.against == "receivers" for event in noised) else TRANSCRIPT
    vacuous = records is not None and delta * records >= 1
    base = Claim(
        noised[0].unit if noised else "record",
        _relation(noised),
        0.0,
        delta,
        adversary,
        "none",
        0,
        vacuous=vacuous,
        seeded=seeded and bool(noised),
    )
    if not listed:
        return replace(base, why="nothing was released")
    if bare:
        return replace(base, epsilon=math.inf, releases=len(listed), seeded=False, why=_why_infinite(bare))
    best: tuple[Cost, str, Sequence[PrivacyEvent]] | None = None
    for who, group in _groups(noised).items():
        found = _cost(group, delta, base.relation)
        if best is None or found.epsilon > best[0].epsilon:
            best = (found, who, group)
    assert best is not None
    cost, who, paid = best
    reasons = [_listed(paid)]
    if vacuous:
        reasons.append(f"vacuous: delta {delta:g} is at least 1/n for n = {records}")
    if seeded:
        reasons.append(SEEDED)
    return replace(
        base,
        epsilon=cost.epsilon,
        accountant=cost.accountant,
        releases=len(paid),
        worst=who,
        cross_check=cost.cross_check,
        why="; ".join(reasons),
    )


@lru_cache(maxsize=4096)
def epsilon_of(book: Ledger, delta: float) -> Cost:
    """Smallest epsilon that can be shown for a ledger at ``delta``; infinite where something left without noise."""
    if book.bare:
        return Cost(math.inf, "none")
    if book.gaussian_only:
        exact = gaussian_epsilon(math.sqrt(book.mu_squared), delta) if book.mu_squared else 0.0
        return Cost(exact, "closed form")
    from fedprivacy.privacy import loss_distribution, renyi  # a second of imports, where a run has no noise to add up

    rough = renyi.epsilon(book, delta)
    bounds = [(rough, "RDP")]
    if book.pure is not None:
        bounds.append((book.pure, "pure composition"))
    least = min(value for value, _ in bounds)
    if least <= GIVE_UP:
        bounds.insert(0, (loss_distribution.epsilon(book, delta, least), "PLD"))
    value, name = min(bounds, key=lambda bound: bound[0])
    return Cost(value, name, rough if name != "RDP" else None)


def _refuse(noised: Sequence[PrivacyEvent]) -> None:
    units = {event.unit for event in noised}
    if len(units) > 1:
        raise ValueError("events of a record and of a client cannot be added: state all of them for one unit")
    for event in noised:
        if isinstance(event.mechanism, PoissonSampledGaussian) and event.relation != "add-remove":
            raise ValueError("Poisson sampling is accounted for under add-remove only")


def _relation(noised: Sequence[PrivacyEvent]) -> Relation:
    """The one relation of all events; replace-one where they differ. Randomised response goes with either."""
    found = {event.relation for event in noised if not isinstance(event.mechanism, RandomizedResponse)}
    found = found or {event.relation for event in noised}
    return "add-remove" if found <= {"add-remove"} else "replace-one"


def _groups(noised: Sequence[PrivacyEvent]) -> dict[str, list[PrivacyEvent]]:
    """Events by whose records they cost: a client, or one fold of it."""
    by_client: dict[int, list[PrivacyEvent]] = {}
    for event in noised:
        by_client.setdefault(event.client, []).append(event)
    groups: dict[str, list[PrivacyEvent]] = {}
    for client, own in sorted(by_client.items()):
        folds = sorted({event.fold for event in own if event.fold is not None})
        if not folds:
            groups[f"client-{client}"] = own
        for fold in folds:
            groups[f"client-{client}, fold {fold + 1}"] = [e for e in own if e.fold in (None, fold)]
    return groups


def _cost(group: Sequence[PrivacyEvent], delta: float, relation: Relation) -> Cost:
    """Cost under ``relation``; a group of both relations is split, converted, and added."""

    def fits(event: PrivacyEvent) -> bool:
        return event.relation == relation or isinstance(event.mechanism, RandomizedResponse)

    swapped = [event for event in group if fits(event)]
    rest = [event for event in group if not fits(event)]
    if not rest:
        return epsilon_of(ledger(e.mechanism for e in swapped), delta)
    share = delta / 2 if swapped else delta
    converted = _as_replace_one(ledger(e.mechanism for e in rest), share)
    if not swapped:
        return converted
    other = epsilon_of(ledger(e.mechanism for e in swapped), delta - share)
    return Cost(other.epsilon + converted.epsilon, f"{other.accountant} + {converted.accountant}")


def _as_replace_one(book: Ledger, delta: float) -> Cost:
    """2 epsilon at the add-remove delta' for which (1 + e^epsilon) delta' is ``delta``, or just below."""

    def excess(log_delta: float) -> float:
        own = math.exp(log_delta)
        return math.log(max(replace_one(epsilon_of(book, own).epsilon, own)[1], 1e-300)) - math.log(delta)

    low = math.log(delta) - 1
    while excess(low) > 0 and low > -600:
        low *= 1.5
    root = cast("float", scipy.optimize.brentq(excess, low, math.log(delta), xtol=1e-4))
    while excess(root) > 0:
        root -= 1e-3
    found = epsilon_of(book, math.exp(root))
    return Cost(2 * found.epsilon, f"{found.accountant}, twice")


def _why_infinite(bare: Sequence[PrivacyEvent]) -> str:
    names = sorted({event.release for event in bare if isinstance(event.mechanism, NoNoise)})
    reasons = [f"without noise: {', '.join(names)}"] if names else []
    draws: Mapping[SubsampleWithoutNoise, int] = Counter(
        e.mechanism for e in bare if isinstance(e.mechanism, SubsampleWithoutNoise)
    )
    for draw in draws:
        epsilon, delta = subsampling(draw.n, draw.k, draw.replacement)
        reasons.append(
            f"training on {draw.k} of {draw.n} records gives epsilon {epsilon:.3f} only at delta {delta:.3f}, "
            f"far above 1/n = {1 / draw.n:.4f}: vacuous"
        )
    return "; ".join(reasons)


def _listed(group: Sequence[PrivacyEvent]) -> str:
    """``12 x predictions: Gaussian(noise_multiplier=12.92)``, one part a kind."""
    counts = Counter((event.release, event.mechanism) for event in group)
    return ", ".join(f"{number} x {release}: {_short(how)}" for (release, how), number in counts.items())


def _short(mechanism: object) -> str:
    values = ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in vars(mechanism).items()
    )
    return f"{type(mechanism).__name__}({values})"
