"""Population attack: the rank of the margin among known non-members of the same class (Ye et al. 2022, attack P)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedprivacy.adversary.threat import Float, Int, Signals
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import margins_of_rounds, population_margins


def mid_ranks(values: Float, labels: Int, known: Float, known_labels: Int) -> Float:
    """Share of the ``known`` [M] of the same class that lie below each of ``values`` [n], ties half; of all ``known``
    where its class has none."""
    # Places among all margins are whole numbers, so class and place make one key that sorts as the two do.
    places = np.unique(np.concatenate([known, values]), return_inverse=True)[1]
    theirs, mine = places[: len(known)], places[len(known) :]
    keys = np.sort(known_labels * len(places) + theirs)
    first = labels * len(places)
    start, end = np.searchsorted(keys, first), np.searchsorted(keys, first + len(places))
    below = np.searchsorted(keys, first + mine, side="left") - start
    score = (below + np.searchsorted(keys, first + mine, side="right") - start) / np.maximum(2 * (end - start), 1)
    alone = start == end
    if alone.any():
        z, own = np.sort(theirs), mine[alone]
        score[alone] = (np.searchsorted(z, own, "left") + np.searchsorted(z, own, "right")) / (2 * len(z))
    return np.asarray(score)


@dataclass(frozen=True)
class Population(EachRound):
    """Mid-rank of phi among the auxiliary non-members of the same class."""

    name: ClassVar[str] = "population"
    needs: ClassVar[frozenset[str]] = frozenset({"population"})

    def rounds(self, signals: Signals) -> Float:
        """``(#{phi_z < phi} + 0.5 #{phi_z = phi}) / M_c`` [rounds, n], in [0, 1]; a class without any z uses all z."""
        known, known_labels = population_margins(signals)
        pairs = zip(margins_of_rounds(signals), known, strict=True)
        return np.stack([mid_ranks(x, signals.labels, z, known_labels) for x, z in pairs])
