"""Stored scores with what they are about: which candidates, and their coins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedprivacy import parts
from fedprivacy.adversary.threat import Adversary, Bool, Float, Int
from fedprivacy.config.base import UsageError
from fedprivacy.study.game import Game
from fedprivacy.study.membership.judged import candidates_of


@dataclass(frozen=True, eq=False)
class Stored:
    """One target: ``scores`` [n], NaN where a candidate was not scored, ``coins`` [n], and ``places`` [n], its
    positions among all candidates of the federation."""

    name: str
    scores: Float
    coins: Bool
    places: Int


def scores_path(place: Path, adversary: Adversary, name: str) -> Path:
    """Where a federation in folder ``place`` keeps what an adversary made of the observation ``name``."""
    return place / "scores" / f"{adversary.name}--{parts.title(name)}.safetensors"


def targets_of(
    arrays: Mapping[str, Float], statistic: str, played: Game, adversary: Adversary, attacked: Sequence[int]
) -> list[Stored] | None:
    """The targets of one federation in the order of their clients; None where the statistic failed on one.

    UsageError where the file is of other candidates.
    """
    # A file gives its arrays in no fixed order.
    names = sorted((key.rpartition("/")[0] for key in arrays if key.endswith("/coins")), key=lambda n: (len(n), n))
    found = []
    for name in names:
        if f"{name}/{statistic}" not in arrays:
            return None
        theirs = candidates_of(name, played.owners, adversary, attacked)
        theirs = theirs[played.flat_canaries[theirs]]
        scores, coins = arrays[f"{name}/{statistic}"], np.asarray(arrays[f"{name}/coins"], dtype=np.bool_)
        if len(scores) != len(theirs):
            raise UsageError(f"{name}: {len(scores)} scores are stored for {len(theirs)} candidates; run it again.")
        found.append(Stored(name, scores, coins, theirs))
    return found
