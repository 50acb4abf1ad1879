"""Lower bound of epsilon from the AUC: no threshold is chosen, so no choice is paid for.

A trade-off curve bounds the area under every ROC curve: by 1 - (1 - delta)^2 / (1 + e^eps) for (eps, delta)-DP, and
by Phi(mu / sqrt 2) for mu-GDP (both follow from the trade-off functions in Dong, Roth, Su 2022). The lower confidence
bound of the AUC holds for finite samples: a two-sample U-statistic is an average of means of k = min(n1, n0)
independent pairs, so Chernoff's bound with k terms applies to it (Hoeffding 1963, section 5).
"""

from __future__ import annotations

import math

import scipy
from numpy.typing import ArrayLike
from scipy.special import ndtri, xlogy

from fedprivacy.metrics.epsilon.bound import ASSUMPTIONS, Curve, EpsilonBound, check_audit
from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon
from fedprivacy.metrics.epsilon.thresholds import INDEPENDENT
from fedprivacy.metrics.roc import auc
from fedprivacy.metrics.scores import as_scores


def auc_lower(area: float, pairs: int, tail: float) -> float:
    """Lower bound of the population AUC, one-sided error ``tail``, given ``area`` over min(n1, n0) = ``pairs``.

    The smallest A with pairs * KL(area || A) <= log(1 / tail); 0.5 if that is not above 0.5.
    """
    budget = -math.log(tail) / pairs

    def excess(candidate: float) -> float:
        kept = float(xlogy(area, area) - xlogy(area, candidate))
        return kept + float(xlogy(1 - area, 1 - area) - xlogy(1 - area, 1 - candidate)) - budget

    if area <= 0.5 or excess(0.5) <= 0:
        return 0.5
    return math.exp(-budget) if area == 1 else float(scipy.optimize.brentq(excess, 0.5, area, xtol=1e-14))


def epsilon_from_auc(
    members: ArrayLike, non_members: ArrayLike, *, delta: float, level: float = 0.95, curve: Curve = "gaussian"
) -> EpsilonBound:
    """Bound from the AUC of ``members`` [n1] over ``non_members`` [n0], higher says member; one-sided at ``level``.

    Strong for a Gaussian mechanism; for ``curve="dp"`` thresholds in the tails mostly tell more. NaN raises
    ValueError.
    """
    tail = check_audit(level, delta)
    in_scores, out_scores = as_scores(members, "scores of members"), as_scores(non_members, "scores of non-members")
    pairs = min(in_scores.size, out_scores.size)
    area = auc(in_scores, out_scores)
    return EpsilonBound(
        low=_epsilon(auc_lower(area, pairs, tail), delta, curve),
        ceiling=_epsilon(auc_lower(1.0, pairs, tail), delta, curve),
        method=f"AUC, {'Gaussian DP' if curve == 'gaussian' else 'DP'}",
        level=level,
        delta=delta,
        assumption=INDEPENDENT + ASSUMPTIONS[curve],
        detail={"auc": area, "n1": in_scores.size, "n0": out_scores.size},
    )


def _epsilon(area: float, delta: float, curve: Curve) -> float:
    if curve == "gaussian":
        return gdp_epsilon(math.sqrt(2) * float(ndtri(area)), delta)
    odds = (1 - delta) ** 2 / (1 - area) - 1
    return math.log(odds) if odds > 1 else 0.0
