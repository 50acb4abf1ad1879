"""One change and its simulations to log-odds of membership; every choice rests on the simulations' own coins.

The change is centred on the mean simulated one, not on half of all gradients: what training does whatever the coins
(and what half of the coins do, to higher order) drops out. Its scale is that of the simulated changes, by regression on
their coins. A simulated change is decoded as the observed one is, centred on the other simulations without its opposite
twin. The ridge is chosen by how well those coins are recovered, and the laws of what was decoded, in and out, give each
record its log-odds; both also predict the leakage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedprivacy.adversary.threat import Bool, Float
from fedprivacy.attacks.membership.joint.solve import solutions
from fedprivacy.metrics.roc import auc

PULL = 6.0
"""Worlds that the mean over all records is worth, where those of one record are estimated."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Log-odds [n] of one change and [worlds, n] of the simulations; ``power``: squared gap of in and out there."""

    scores: Float
    simulated: Float
    power: float
    ridge: float


def decoded(gram: Tensor, observed: Tensor, played: Tensor, coins: Bool, prior: Float, judged: Bool) -> Decoded:
    """Decode a change.

    ``gram`` [n, n]; inner products of the gradients with the ``observed`` change [n] and with those ``played`` in each
    world [worlds, n], by ``coins`` [worlds, n] with probability ``prior`` [n]. Only columns in ``judged`` [n] count in
    the choices. A change that answers to no coin is worth nothing: all scores are 0.
    """
    c, p = torch.from_numpy(coins).to(played.dtype), torch.from_numpy(prior).to(played.dtype)
    moved, chosen = played - played.mean(dim=0), c - c.mean(dim=0)
    answer = float((moved * chosen).sum() / ((chosen.to(gram.dtype) @ gram).to(chosen.dtype) * chosen).sum())
    worlds = len(c)
    nothing = Decoded(np.zeros(len(prior)), np.zeros(coins.shape), 0.0, 0.0)
    asked = (coins & judged).any() and (~coins & judged).any()
    if not asked or not np.isfinite(answer) or answer <= 0:
        return nothing
    sides = [(observed - played.mean(dim=0)) / answer + _times(gram, c.mean(dim=0) - p)]
    for world in range(worlds):
        others = [o for o in range(worlds) if o not in (world, world ^ 1)] or [o for o in range(worlds) if o != world]
        sides.append((played[world] - played[others].mean(dim=0)) / answer + _times(gram, c[others].mean(dim=0) - p))
    best: tuple[float, float, Float] | None = None
    for ridge, found in solutions(gram, torch.stack(sides)):
        odds = found.numpy()
        quality = float(np.mean([_area(odds[1 + w], coins[w], judged) for w in range(worlds)]))
        if best is None or quality > best[0]:
            best = quality, ridge, odds
    assert best is not None
    _, ridge, odds = best
    inside, outside = odds[1:][coins & judged], odds[1:][~coins & judged]
    gap, spread = float(inside.mean() - outside.mean()), float(inside.var() + outside.var()) / 2
    if not gap > 0 or not spread > 0:
        return nothing
    scores = calibrated(odds[0], odds[1:], coins, judged)
    worlds_own = [np.delete(np.arange(worlds), world) for world in range(worlds)]
    simulated = [calibrated(odds[1 + w], odds[1:][o], coins[o], judged) for w, o in enumerate(worlds_own)]
    return Decoded(scores, np.stack(simulated), gap**2 / spread, ridge)


def calibrated(found: Float, known: Float, coins: Bool, judged: Bool) -> Float:
    """Log-likelihood ratios [n] of ``found`` [n] under a normal law a record, with means in and out and one variance.

    They are those of the ``known`` worlds [worlds, n] by their ``coins``, each pulled to the mean over all ``judged``
    records as if :data:`PULL` more worlds had shown it: records differ in how much of them is seen (Carlini et al.
    2022, Section V, on decoded values in the place of margins).
    """
    inside, outside = known[coins & judged], known[~coins & judged]
    if not len(inside) or not len(outside):
        return np.zeros(len(found))
    spread = (inside.var() + outside.var()) / 2
    squares = np.zeros(len(found))
    means = []
    for mask, whole in ((coins, inside), (~coins, outside)):
        mean = (np.where(mask, known, 0.0).sum(axis=0) + PULL * whole.mean()) / (mask.sum(axis=0) + PULL)
        squares += np.where(mask, np.square(known - mean), 0.0).sum(axis=0)
        means.append(mean)
    variance = (squares + 2 * PULL * spread) / (len(known) + 2 * PULL)
    odds: Float = (np.square(found - means[1]) - np.square(found - means[0])) / (2 * variance)
    return odds


def _times(gram: Tensor, vector: Tensor) -> Tensor:
    return (vector.to(gram.dtype) @ gram).to(vector.dtype)


def _area(odds: Float, coins: Bool, judged: Bool) -> float:
    members, others = odds[coins & judged], odds[~coins & judged]
    return auc(members, others) if len(members) and len(others) else 0.5
