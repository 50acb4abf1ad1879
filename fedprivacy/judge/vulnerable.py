"""The candidates that a shadow bank reveals most, judged on federations that did not choose them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedprivacy.adversary.threat import Float
from fedprivacy.judge.rates import finding, over_seeds
from fedprivacy.judge.result import Finding
from fedprivacy.judge.target import Label, Seeds, Target
from fedprivacy.metrics.chance import auc_chance
from fedprivacy.metrics.roc import auc
from fedprivacy.metrics.vulnerability import most_vulnerable

TENTH = "most vulnerable tenth"


def most_vulnerable_tenth(
    repetitions: Sequence[Sequence[Target]],
    margins: Sequence[Sequence[Float]],
    label: Label,
    of_seed: Seeds,
    share: float = 0.1,
) -> list[Finding]:
    """AUC among the tenth of each client's candidates that the *other* federations of its seed reveal most.

    ``margins``: per repetition and target the margins [n] of that federation alone, by which candidates are chosen;
    the target's own coins play no part. Candidates that some federation was not asked about are left out. The few of
    a client are judged among themselves, and clients averaged: ranks of so few cannot be pooled.
    """
    areas: list[float] = []
    theirs: list[int] = []
    counts: list[tuple[int, int]] = []
    for seed in dict.fromkeys(of_seed):
        places = [place for place, other in enumerate(of_seed) if other == seed]
        names = [{target.name for target in repetitions[place]} for place in places]
        found: list[list[float]] = [[] for _ in places]
        for name in [t.name for t in repetitions[places[0]] if all(t.name in known for known in names)]:
            slots = [[t.name for t in repetitions[place]].index(name) for place in places]
            scores = np.stack([repetitions[p][s].scores for p, s in zip(places, slots, strict=True)])
            coins = np.stack([repetitions[p][s].truth.coins for p, s in zip(places, slots, strict=True)])
            seen = np.stack([margins[p][s] for p, s in zip(places, slots, strict=True)])
            known = ~(np.isnan(scores) | np.isnan(seen)).any(axis=0)
            if len(places) < 2 or not known.any():
                continue
            scores, coins = scores[:, known], coins[:, known]
            for row, chosen in enumerate(most_vulnerable(seen[:, known], coins, share)):
                members, others = scores[row, chosen][coins[row, chosen]], scores[row, chosen][~coins[row, chosen]]
                if len(members) and len(others):
                    found[row].append(auc(members, others))
                    counts.append((len(members), len(others)))
        areas += [float(np.mean(one)) for one in found if one]
        theirs += [seed for one in found if one]
    if not areas:
        return []
    bands = [auc_chance(n1, n0, label.level).high - 0.5 for n1, n0 in counts]
    half = math.sqrt(sum(band**2 for band in bands)) / len(bands)
    note = f"chosen on the other federations alone{'; ' + label.note if label.note else ''}"
    estimate = over_seeds(areas, theirs, label.level)
    own = replace(label, note=note)
    return [finding("AUC", TENTH, own, counts, estimate.value, (0.5, 0.5 - half, 0.5 + half), estimate)]
