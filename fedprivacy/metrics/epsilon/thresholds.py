"""Lower bounds of epsilon from the error rates of a threshold attack.

Upper confidence bounds of FPR and FNR rule out every epsilon that would force one of them higher
(Kairouz, Oh, Viswanath 2015; audits by Jagielski et al. 2020 and Nasr et al. 2021). With ``curve="gaussian"`` the
rates are held against the Gaussian trade-off curve instead: stronger, and true only of a Gaussian mechanism.
The intervals take candidates as independent given the scores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from fedprivacy.metrics.epsilon.bound import ASSUMPTIONS, Curve, EpsilonBound, check_audit
from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon
from fedprivacy.metrics.intervals import binomial_upper
from fedprivacy.metrics.scores import Float, Int, as_scores, midway

INDEPENDENT = "independent candidates; "
NAMES: dict[Curve, str] = {"dp": "Clopper-Pearson", "gaussian": "Gaussian DP"}


def epsilon_at_threshold(
    true_positives: int,
    n1: int,
    false_positives: int,
    n0: int,
    *,
    delta: float,
    level: float = 0.95,
    tests: int = 1,
    curve: Curve = "dp",
) -> EpsilonBound:
    """Bound from the counts at one threshold that was fixed before the scores were seen.

    ``true_positives`` of ``n1`` members and ``false_positives`` of ``n0`` non-members scored above it. Each rate is
    bounded at (1 - level) / (2 tests), where ``tests`` is how many such bounds one picks the best of.
    """
    tail = check_audit(level, delta) / (2 * tests)
    if not (0 <= true_positives <= n1 and 0 <= false_positives <= n0 and n1 and n0 and tests >= 1):
        raise ValueError(f"impossible counts: {true_positives} of {n1}, {false_positives} of {n0}, {tests} tests.")
    power = _power(
        binomial_upper([false_positives, 0], n0, tail), binomial_upper([n1 - true_positives, 0], n1, tail), delta, curve
    )
    return EpsilonBound(
        low=_epsilon(power[0], delta, curve),
        ceiling=_epsilon(power[1], delta, curve),
        method=f"{NAMES[curve]}, threshold fixed",
        level=level,
        delta=delta,
        assumption=INDEPENDENT + ASSUMPTIONS[curve],
        detail={"tp": true_positives, "n1": n1, "fp": false_positives, "n0": n0, "tests": tests},
    )


def epsilon_all_thresholds(
    members: ArrayLike, non_members: ArrayLike, *, delta: float, level: float = 0.95, curve: Curve = "dp"
) -> EpsilonBound:
    """The best bound over all thresholds of scores ``members`` [n1] and ``non_members`` [n0], higher says member.

    Paid for by a band that holds at every threshold at once. "Score above the (j+1)-th largest non-member" has an
    FPR of law Beta(j+1, n0-j), so its Clopper-Pearson bound is exact though the threshold is random; likewise for
    the FNR at the smallest members. A fixed ladder of such ranks shares 1 - level (Bonferroni), and in between a
    count is rounded up to the next rung, since both rates are monotone in the threshold. Ties only lower the rates.
    """
    alpha = check_audit(level, delta)
    in_scores = np.sort(as_scores(members, "scores of members"))
    out_scores = np.sort(as_scores(non_members, "scores of non-members"))
    thresholds = np.unique(np.concatenate([in_scores, out_scores]))
    alarms = out_scores.size - np.searchsorted(out_scores, thresholds, side="right")
    misses = np.searchsorted(in_scores, thresholds, side="right")
    rungs = _ladder(in_scores.size).size + _ladder(out_scores.size).size
    fpr = _stepped_bound(alarms, out_scores.size, alpha / rungs)
    fnr = _stepped_bound(misses, in_scores.size, alpha / rungs)
    power = _power(fpr, fnr, delta, curve)
    best = int(np.argmax(power))
    none = np.zeros(1, dtype=np.int64)
    best_fpr = _stepped_bound(none, out_scores.size, alpha / rungs)
    best_fnr = _stepped_bound(none, in_scores.size, alpha / rungs)
    return EpsilonBound(
        low=_epsilon(power[best], delta, curve),
        ceiling=_epsilon(_power(best_fpr, best_fnr, delta, curve)[0], delta, curve),
        method=f"{NAMES[curve]}, all thresholds",
        level=level,
        delta=delta,
        assumption=INDEPENDENT + ASSUMPTIONS[curve],
        detail={
            "tp": in_scores.size - int(misses[best]),
            "n1": in_scores.size,
            "fp": int(alarms[best]),
            "n0": out_scores.size,
            "tests": rungs,
        },
    )


def epsilon_split(
    members: ArrayLike,
    non_members: ArrayLike,
    *,
    delta: float,
    rng: np.random.Generator,
    level: float = 0.95,
    curve: Curve = "dp",
) -> EpsilonBound:
    """Bound on a random half of each group, at the threshold that gave the best bound on the other half.

    ``members`` [n1 >= 2] and ``non_members`` [n0 >= 2]; raises ValueError on a group of one and on NaN.
    """
    tail = check_audit(level, delta) / 2
    in_scores = rng.permutation(as_scores(members, "scores of members"))
    out_scores = rng.permutation(as_scores(non_members, "scores of non-members"))
    if min(in_scores.size, out_scores.size) < 2:
        raise ValueError("a split needs two members and two non-members.")
    in_half, out_half = np.sort(in_scores[: in_scores.size // 2]), np.sort(out_scores[: out_scores.size // 2])
    thresholds = np.unique(np.concatenate([in_half, out_half]))
    fpr = binomial_upper(out_half.size - np.searchsorted(out_half, thresholds, side="right"), out_half.size, tail)
    fnr = binomial_upper(np.searchsorted(in_half, thresholds, side="right"), in_half.size, tail)
    threshold = midway(thresholds)[int(np.argmax(_power(fpr, fnr, delta, curve)))]
    in_rest, out_rest = in_scores[in_half.size :], out_scores[out_half.size :]
    found = epsilon_at_threshold(
        int((in_rest > threshold).sum()),
        in_rest.size,
        int((out_rest > threshold).sum()),
        out_rest.size,
        delta=delta,
        level=level,
        curve=curve,
    )
    return EpsilonBound(
        found.low,
        found.ceiling,
        f"{NAMES[curve]}, threshold from the other half",
        level,
        delta,
        found.assumption,
        found.detail,
    )


def _power(fpr: Float, fnr: Float, delta: float, curve: Curve) -> Float:
    """What the rates rule out: epsilon ("dp") or mu ("gaussian"); -inf where nothing."""
    if curve == "gaussian":
        mu: Float = -ndtri(fpr) - ndtri(fnr)
        return np.where(np.isnan(mu), -np.inf, mu)
    left, right = np.maximum(1 - delta - fnr, 0), np.maximum(1 - delta - fpr, 0)
    with np.errstate(divide="ignore"):
        ruled_out: Float = np.maximum(np.log(left / fpr), np.log(right / fnr))
    return ruled_out


def _epsilon(power: float, delta: float, curve: Curve) -> float:
    return gdp_epsilon(float(power), delta) if curve == "gaussian" else max(0.0, float(power))


def _ladder(n: int) -> Int:
    """Ranks 0, 1, 2, ... growing by a fifth, below ``n``: the counts at which the band is evaluated."""
    rungs, rung = [], 0
    while rung < n:
        rungs.append(rung)
        rung = max(rung + 1, int(rung * 1.2))
    return np.array(rungs, dtype=np.int64)


def _stepped_bound(counts: Int, n: int, tail: float) -> Float:
    """Upper bound of a rate whose count is rounded up to the ladder of ``n``; 1 above its last rung."""
    rungs = np.append(_ladder(n), n)
    bound: Float = binomial_upper(rungs, n, tail)[np.searchsorted(rungs, counts)]
    return bound
