"""The records of a stored run that its adversaries may call members, for the owner of the truth alone.

A random half of each client's non-members, drawn from a named seed, is what is known; all members and the other half
are tested against it. So the owner sees which members stand out, and how many non-members stand out with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedprivacy import folder, seeds
from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.threat import Adversary, Bool, Float, Int
from fedprivacy.config.base import UsageError
from fedprivacy.judge.result import RunResult
from fedprivacy.metrics.accusations import benjamini_hochberg, conformal_p_values
from fedprivacy.study.membership.stored import scores_path, targets_of
from fedprivacy.study.resolved import Study


@dataclass(frozen=True)
class Accused:
    """One record that is called a member."""

    client: int
    row: int
    """Its place among the training records, from 0, after duplicates were dropped."""
    p_value: float
    score: float
    """Higher says member; of equal p-values it decides who is more at risk."""
    member: bool


@dataclass(frozen=True)
class Accusations:
    """What one adversary's declared statistic says about the records of one federation, most at risk first."""

    adversary: str
    observation: str
    statistic: str
    seed: int
    rate: float
    accused: tuple[Accused, ...]
    tested: int
    known: int
    least: float
    """The smallest p-value."""

    @property
    def wrong(self) -> int:
        """Non-members among those accused."""
        return sum(not one.member for one in self.accused)


def accusations(result: RunResult, study: Study, where: Path, rate: float) -> list[Accusations]:
    """For each adversary that has a declared statistic, and each seed, from the scores in run folder ``where``.

    Raises UsageError where there are none, or a coin decides more than one record.
    """
    if study.canaries.coins != "record":
        raise UsageError("--per-record: one coin of this run decides several records, so none of them stands alone.")
    heads = {(f.adversary, f.observation): f.statistic for f in result.findings if f.headline and f.metric == "AUC"}
    found: list[Accusations] = []
    for adversary, name in study.seats.observations:
        statistic = heads.get((str(adversary), study.observation(name).name))
        if statistic is not None:
            for root in study.roots:
                path = scores_path(study.place(where, root), adversary, name)
                found.append(_of_seed(study, root, path, adversary, name, statistic, rate))
    if not found:
        raise UsageError(f"--per-record: {where} holds no declared scores of a membership attack.")
    return found


def _of_seed(
    study: Study, root: int, path: Path, adversary: Adversary, name: str, statistic: str, rate: float
) -> Accusations:
    arrays, _ = folder.read_arrays(path)
    played = study.game(root)
    stored = targets_of(arrays, statistic, played, adversary, followed(adversary, study.wire, study.attack.followed))
    if stored is None:
        raise UsageError(f"--per-record: {statistic} failed on a target of {adversary}, so it judges no record.")
    listed: list[Accused] = []
    known = 0
    for one in stored:
        draw = seeds.numpy_generator(root, "known non-members", one.name)
        left, p_values = held_against_known(one.scores, one.coins, draw)
        known += int((~np.isnan(one.scores)).sum()) - len(left)
        owners, rows = played.owners[one.places[left]], played.candidates[one.places[left]]
        told = (owners, rows, p_values, one.scores[left], one.coins[left])
        found = zip(*(values.tolist() for values in told), strict=True)
        listed += [Accused(*values) for values in found]
    chosen = benjamini_hochberg([one.p_value for one in listed], rate)
    accused = [one for one, is_accused in zip(listed, chosen, strict=True) if is_accused]
    return Accusations(
        adversary=str(adversary),
        observation=study.observation(name).name,
        statistic=statistic,
        seed=root,
        rate=rate,
        accused=tuple(sorted(accused, key=lambda one: (one.p_value, -one.score, one.row))),
        tested=len(listed),
        known=known,
        least=min((one.p_value for one in listed), default=1.0),
    )


def held_against_known(scores: Float, coins: Bool, draw: np.random.Generator) -> tuple[Int, Float]:
    """Positions [n] that are tested and their p-values, against a random half of the non-members of one target.

    ``scores`` [m], NaN where a record was not scored; ``coins`` [m], True: trained on. Empty with fewer than two
    non-members.
    """
    seen = ~np.isnan(scores)
    out = np.flatnonzero(seen & ~coins)
    known = draw.permutation(out)[: len(out) // 2]
    if not len(known):
        return np.empty(0, dtype=np.int64), np.empty(0)
    left = np.setdiff1d(np.flatnonzero(seen), known)
    return left, conformal_p_values(scores[left], scores[known])
