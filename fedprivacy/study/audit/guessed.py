"""What an audit guesses on: the stored scores of finished federations and their canaries' coins, as rows.

Only the target federation of each seed is judged, never the federations of a shadow bank: those serve each other as
references with known coins, and their guesses may not be pooled (:mod:`fedprivacy.study.audit.bounds`).

All rounds of a canary are one score, hence one guess. Where one coin decides several records (a pair, the halves of a
client's pool), the score of the coin is the mean of the records of one side minus that of the other: of log-odds as
they are, of other scores by ranks within a target, since they share no scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import folder
from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.threat import EAVESDROPPER, Adversary, Bool, Float, Int
from fedprivacy.attacks.membership.headline import JOINT
from fedprivacy.config.base import UsageError
from fedprivacy.config.canaries import Coins
from fedprivacy.data.coins import units
from fedprivacy.judge.result import PrivacyClaim
from fedprivacy.metrics.scores import mid_ranks
from fedprivacy.privacy.claim import RECEIVERS
from fedprivacy.study.game import Game
from fedprivacy.study.membership.stored import scores_path, targets_of
from fedprivacy.study.resolved import Study
from fedprivacy.wire.parties import SERVER

DEFAULTS = ("ratio", "calibrated")
"""Judged where they can be computed and nothing else was asked for: the one is stronger on models that know their
records by heart, the other under noise. Each gets half of the error."""

BY_RELEASE = (
    "planted in alternative last rounds, each a release of its own that the claim does not count; audit with "
    "--probe-schedule spread"
)
NOT_COVERED = "a trusted server adds the noise, so the claim does not cover what the {} sees; audit from client-0"


@dataclass(frozen=True, eq=False)
class Guessed:
    """Scores [m] and coins [m] of all canaries of one row; ``groups`` [m]: those that share a scale (None: all do).
    ``odds``: whether scores are log-odds."""

    adversary: str
    observation: str
    statistic: str
    scores: Float
    coins: Bool
    groups: Int | None
    federations: int
    odds: bool = False


def guessed(study: Study, where: Path, claim: PrivacyClaim | None) -> tuple[list[Guessed], tuple[str, ...]]:
    """The rows that may be judged against ``claim``, and why others may not; one a statistic that was asked for.

    Without ``--statistic`` the headline if one is named, or :data:`DEFAULTS`. Raises UsageError where no row is
    left.
    """
    places = {root: study.place(where, root) for root in study.roots}
    games = {root: study.game(root) for root in places}
    rows: list[Guessed] = []
    notes: list[str] = []
    for adversary, name in study.seats.observations:
        title = study.observation(name).name
        why = None if claim is None else not_judged(study, claim, adversary, name)
        paths = {root: scores_path(place, adversary, name) for root, place in places.items()}
        missing = [path for path in paths.values() if not path.exists()]
        if why is None and missing:
            why = f"no scores are stored ({missing[0].name}); the attack failed, or the run is of an older version"
        if why is not None:
            notes.append(f"{adversary}, {title}: not judged: {why}")
            continue
        stored = {root: folder.read_arrays(path) for root, path in paths.items()}
        attacked = followed(adversary, study.wire, study.attack.followed)
        for statistic in study.attack.statistics or _declared(study.attack.headline, list(stored.values())):
            parts = [
                _of_seed(arrays, statistic, games[root], adversary, attacked, study.canaries.coins)
                for root, (arrays, _) in stored.items()
            ]
            if any(part is None for part in parts):
                notes.append(f"{adversary}, {title}: statistic {statistic} failed, see its finding")
                continue
            scores, flips, groups = _joined([part for part in parts if part is not None])
            # A difference between two sides, or of one coin between in and out, has a zero of its own, so that clients
            # and federations share its scale.
            alone = study.canaries.coins != "record" or study.wire.one_coin_a_client
            scale = None if alone else groups
            rows.append(Guessed(str(adversary), title, statistic, scores, flips, scale, len(parts), statistic == JOINT))
    if not rows:
        raise UsageError(f"nothing to audit: {'; '.join(notes)}.")
    return rows, tuple(notes)


def _declared(headline: str | None, stored: Sequence[tuple[Mapping[str, Float], Mapping[str, Any]]]) -> tuple[str, ...]:
    """The statistics that are judged where none were asked for: it depends on what could be observed alone."""
    if headline is not None:
        return (headline,)
    names = {name for arrays, _ in stored for name in arrays}
    targets = {name.rpartition("/")[0] for name in names}
    everywhere = all(f"{target}/{statistic}" in names for target in targets for statistic in DEFAULTS)
    return DEFAULTS if everywhere else (str(stored[0][1]["headline"]),)


def not_judged(study: Study, claim: PrivacyClaim, adversary: Adversary, observation: str) -> str | None:
    """Why a bound from this position would not speak about the claim."""
    if claim.epsilon is None:
        return None
    if claim.adversary == RECEIVERS and adversary.position in (SERVER, EAVESDROPPER):
        return NOT_COVERED.format(adversary.position)
    planted = getattr(study.observation(observation), "reads_planted", False)
    if planted and study.attack.schedule == "last" and not study.wire.defended.noised_steps:
        return BY_RELEASE
    return None


Part = tuple[Float, Bool, Int]


def _of_seed(
    arrays: Mapping[str, Float],
    statistic: str,
    played: Game,
    adversary: Adversary,
    attacked: Sequence[int],
    decided: Coins,
) -> Part | None:
    """Scores, coins and groups of one federation; None where the statistic failed on a target. ``decided``: what one
    coin decides."""
    scores: list[Float] = []
    coins: list[Bool] = []
    groups: list[Int] = []
    flat = units(played.division, decided)
    sizes = np.cumsum([0, *(int(unit.max(initial=-1)) + 1 for unit, _ in flat)])
    unit = np.concatenate([sizes[client] + own for client, (own, _) in enumerate(flat)])
    side = np.concatenate([own for _, own in flat])
    stored = targets_of(arrays, statistic, played, adversary, attacked)
    if stored is None:
        return None
    for number, one in enumerate(stored):
        theirs, values, flips = one.places, one.scores, one.coins
        seen = ~np.isnan(values)
        if decided == "record":
            scores.append(values[seen])
            coins.append(flips[seen])
        else:
            found = by_unit(_scaled(values[seen], statistic), flips[seen], unit[theirs][seen], side[theirs][seen])
            scores.append(found[0])
            coins.append(found[1])
        groups.append(np.full(len(scores[-1]), number, dtype=np.int64))
    return np.concatenate(scores), np.concatenate(coins), np.concatenate(groups)


def _scaled(scores: Float, statistic: str) -> Float:
    """Log-odds as they are, other scores as ranks within their target."""
    return scores if statistic == JOINT or not len(scores) else mid_ranks(scores) / len(scores)


def by_unit(scores: Float, members: Bool, unit: Int, side: Int) -> tuple[Float, Bool]:
    """One score and one coin for each unit of which both sides were seen, from [n] records of one target.

    The score is the mean of side 1 minus that of side -1; the coin says whether side 1 is in.
    """
    found, coins = [], []
    for number in np.unique(unit):
        first, second = (unit == number) & (side == 1), (unit == number) & (side == -1)
        if first.any() and second.any():
            found.append(float(scores[first].mean() - scores[second].mean()))
            coins.append(bool(members[first][0]))
    return np.array(found), np.array(coins, dtype=np.bool_)


def _joined(parts: Sequence[Part]) -> Part:
    """Federations after each other, their groups apart."""
    shift = np.cumsum([0, *(int(groups.max(initial=-1)) + 1 for _, _, groups in parts)])
    groups = [own + shift[place] for place, (_, _, own) in enumerate(parts)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), np.concatenate(groups)
