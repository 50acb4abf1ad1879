"""Membership findings of one observation: from what the federations of each seed left on disk.

Without a bank the target federation is judged, with its other clients as references. With a bank of several shadow
federations each of them is a target too, the others its references, the target's own never: one number a federation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.observations import no_room
from fedprivacy.adversary.sight import Sight
from fedprivacy.adversary.threat import Adversary, Int, Signals, Truth
from fedprivacy.attacks.membership.assemble import Scored, Shadow, score_target, signals_of, surrogate_signals
from fedprivacy.attacks.membership.evidence import last_margins
from fedprivacy.attacks.membership.headline import GIVE_ODDS, asked_for, declared
from fedprivacy.config.run import AttackConfig
from fedprivacy.federation.knowledge import Observed
from fedprivacy.judge import examiner
from fedprivacy.judge.corrected import judged_federations
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label
from fedprivacy.judge.verdicts import STRONGER_KNOWN
from fedprivacy.study.membership.judged import Judged, judged_findings, save_scores
from fedprivacy.study.membership.kept import Kept
from fedprivacy.study.membership.measured import measured_findings
from fedprivacy.study.membership.stored import scores_path
from fedprivacy.study.observe import load_observed, observed_path
from fedprivacy.study.repetition import Repetition
from fedprivacy.study.resolved import Study
from fedprivacy.study.seed_notes import of_seeds, why_failed
from fedprivacy.wire.parties import client_name
from fedprivacy.wire.release import MODELS, PREDICTIONS

AVERAGED = (
    "other clients start from averages that hold the target's updates, so as references they are not quite out, which "
    "hides leakage; --no-coop with --shadows has no such bias"
)

WEAKER = (
    f"{STRONGER_KNOWN}: joint decoding of all candidates, which needs local training that "
    "follows from the settings, and to be among --observations"
)
NO_ROOM = "not decoded jointly: "


def membership(
    study: Study, repetitions: Sequence[Repetition], adversary: Adversary, observation: str, kept: Kept | None = None
) -> list[Finding]:
    """Findings of every statistic on one observation, null rows last; ``kept`` takes the columns for a stack."""
    attack, made, theirs = study.attack, study.observation(observation), study.seats.observed_by(adversary)
    alone = bool(getattr(made, "alone", False))
    headline = observation == declared(theirs, asked_for(attack))
    label = Label(made.name, str(adversary), "all statistics", attack.level, headline)
    judged: list[list[Judged]] = []
    groups: list[int] = []
    told: list[tuple[str, ...]] = []
    figures: list[Mapping[str, float]] = []
    causes = [""] * len(repetitions)
    for number, repetition in enumerate(repetitions):
        loaded = _loaded(repetition, adversary, observation, alone)
        if isinstance(loaded, str):
            causes[number] = loaded
            continue
        told.append(loaded[0].notes)
        figures.append(loaded[0].measured)
        score = partial(_scored, attack, kept, number, made.name)
        targets = list(_targets(study, repetition, adversary, loaded, score))
        if not any(targets):
            why = "; ".join(loaded[0].notes) or "nothing that it received tells of a candidate"
            causes[number] = f"no signal: {why}"
            continue
        save_scores(scores_path(repetition.place, adversary, observation), targets[0])
        judged += targets
        groups += [number] * len(targets)
    if any(causes):
        return [examiner.failed(label, why_failed(causes))]
    notes = of_seeds(told)
    if attack.coop and not alone and study.wire.model is not None and study.federation.clients > 1:
        notes = (AVERAGED, *notes)
    decodable = any(release.reads in MODELS | PREDICTIONS for release in study.wire.releases)
    if headline and decodable and not set(theirs) & set(GIVE_ODDS):
        why = no_room(Sight(adversary, study.wire))
        notes = (f"{NO_ROOM}{why}" if why else WEAKER, *notes)
    federations = len(judged) // len(repetitions)
    if federations > 1:
        notes = (f"mean over {federations} federations, each a target with the others as references", *notes)
    found = judged_findings(judged, groups, replace(label, note="; ".join(notes)))
    return [*found, *measured_findings(figures, label)]


Loaded = list[Observed]


def _loaded(repetition: Repetition, adversary: Adversary, observation: str, alone: bool) -> Loaded | str:
    """What was observed in the target federation, then in each shadow; or why an observation failed."""
    found: Loaded = []
    for place in (repetition.place, *(() if alone else repetition.shadows)):
        observed = load_observed(observed_path(place, adversary, observation))
        if isinstance(observed, str):
            return observed
        found.append(observed)
    return found


def judges_bank(attack: AttackConfig) -> bool:
    """Whether every federation of the bank is a target."""
    return judged_federations(attack.targets, attack.shadows) > 1


def _scored(
    attack: AttackConfig,
    kept: Kept | None,
    seed: int,
    title: str,
    federation: int,
    name: str,
    signals: Signals,
    surrogates: Signals | None,
) -> Scored:
    """The scores of one target, from its columns where a stack wants these too."""
    known = None if kept is None else kept.made((seed, title, federation, name), signals, attack.combine)
    return score_target(signals, attack, surrogates, known)


def _targets(
    study: Study, repetition: Repetition, adversary: Adversary, loaded: Loaded, score: Callable[..., Scored]
) -> Iterator[list[Judged]]:
    """The target clients of each federation that is judged; a client that nothing was seen of is left out."""
    played, attack = repetition.game, study.attack
    drawn = [study.coins(played.division, repetition.root, shadow) for shadow in range(len(repetition.shadows))]
    coins = [played.flat_coins, *(np.concatenate(one) for one in drawn)][: len(loaded)]
    labels = played.dataset.y_train[played.candidates]
    auxiliary = played.dataset.y_train[played.division.auxiliary]
    federations = [Shadow(observed, flips) for observed, flips in zip(loaded, coins, strict=True)]
    attacked = followed(adversary, study.wire, attack.followed)
    for number in range(len(federations) if judges_bank(attack) else 1):
        own = federations[number]
        others = [one for place, one in enumerate(federations) if place != number]
        judged = []
        for name, source, theirs in sources(own.observed, played.owners, adversary):
            chosen = theirs[played.flat_canaries[theirs] & np.isin(played.owners[theirs], attacked)]
            if not len(chosen):
                continue
            signals = signals_of(own.observed, others, source, chosen, labels, auxiliary, attack.coop)
            if not (signals.seen & signals.clean).any():
                continue
            surrogates = surrogate_signals(own.observed, source, chosen, labels) if number == 0 else None
            scored = score(number, name, signals, surrogates)
            judged.append(
                Judged(name, scored, last_margins(signals), Truth(own.coins[chosen], played.candidates[chosen]))
            )
        yield judged


def sources(observed: Observed, owners: Int, adversary: Adversary) -> Iterator[tuple[str, int, Int]]:
    """(name, source, candidates) of what may be attacked; a client does not attack itself."""
    position = adversary.position
    me = int(position.removeprefix("client-")) if position.startswith("client-") else None
    clients = int(owners.max()) + 1
    if len(observed.logp) == 1 and clients > 1:
        theirs = np.arange(len(owners)) if me is None else np.flatnonzero(owners != me)
        yield ("any client" if me is None else "any other client"), 0, theirs
        return
    for client in range(clients):
        if client != me:
            yield client_name(client), client, np.flatnonzero(owners == client)
