"""A Bayesian credible interval of epsilon from the counts at one threshold. An estimate, not a bound.

Zanella-Beguelin et al., "Bayesian Estimation of Differential Privacy" (2023): FPR and FNR get Jeffreys posteriors,
and the chance that they fit (t, delta)-DP, as a function of t, is taken for the distribution of epsilon. The inner
integral is a beta distribution function, so one Gauss-Legendre quadrature is left.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from scipy.special import betainc, betaincinv

from fedprivacy.metrics.epsilon.bound import CredibleEpsilon, check_audit

NODES, WEIGHTS = np.polynomial.legendre.leggauss(256)


def joint_beta_interval(
    true_positives: int, n1: int, false_positives: int, n0: int, *, delta: float, level: float = 0.9
) -> CredibleEpsilon:
    """Equal-tailed credible interval of epsilon. On pure noise ``low`` is above 0 nearly always: never a verdict.

    ``true_positives`` of ``n1`` members and ``false_positives`` of ``n0`` non-members scored above a threshold fixed
    beforehand. Raises ValueError on impossible counts, level or delta.
    """
    tail = check_audit(level, delta) / 2
    if not (0 <= true_positives <= n1 and 0 <= false_positives <= n0 and n1 and n0):
        raise ValueError(f"impossible counts: {true_positives} of {n1}, {false_positives} of {n0}.")
    fpr = betaincinv(false_positives + 0.5, n0 - false_positives + 0.5, (NODES + 1) / 2)
    shape = (n1 - true_positives + 0.5, true_positives + 0.5)

    def chance(t: float) -> float:
        """Posterior probability that the two rates are possible under (t, delta)-DP."""
        growth = math.exp(t)
        low = np.maximum(1 - delta - growth * fpr, (1 - delta - fpr) / growth)
        high = np.minimum(growth + delta - growth * fpr, (growth + delta - fpr) / growth)
        mass = betainc(*shape, np.clip(high, 0, 1)) - betainc(*shape, np.clip(low, 0, 1))
        return float(WEIGHTS @ mass) / 2

    def quantile(probability: float) -> float:
        if chance(0.0) >= probability:
            return 0.0
        high = 1.0
        while chance(high) < probability:
            high *= 2
        return float(scipy.optimize.brentq(lambda t: chance(t) - probability, 0.0, high, xtol=1e-9))

    return CredibleEpsilon(quantile(tail), quantile(1 - tail), "joint-beta credible interval", level, delta)
