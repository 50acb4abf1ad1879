"""How much likelier an answer is of a client that trained on the record, told by few replays of that client.

A margin of replay s on a record is ``b + g c_s + a_s + e_s``: c its coin, ``a`` what all other coins do, the same for
replays of equal coins, ``e`` the order of the batches. The gap ``g`` of a record is normal about that of all records,
its variance inverse gamma about theirs; both priors, and the share of ``e`` in the variance, are estimated over all
records by moments (empirical Bayes: Morris, "Parametric empirical Bayes inference", 1983; the variance of ``g`` as in
DerSimonian and Laird, 1986), but for records whose replays scatter wildly. What the replays leave open about ``b``,
``g``, its mean and the variance widens both predictive densities, Student's t (Bishop 2006, Section 2.3.6). A ratio of
two fitted normal densities takes the fits for the truth: from eight replays its log-odds are twice too large.
"""

from __future__ import annotations

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int

TURNS, LEAST, FLAT, WILD = 50, 1e-3, 1e-9, 30.0
"""Turns of the fixed point for the share of order noise, its least value, no spread of coins, and how many times the
upper quartile of squared residuals those of a record may be for it to tell of others."""


def predictive_ratio(answer: Float, replies: Float, coins: Bool) -> Float:
    """``log p(answer | in) - log p(answer | out)`` [n] in nats.

    ``answer`` [n]: margins of the target; ``replies`` [S, n] of replays, which trained on the records where ``coins``
    [S, n]. 0 where a margin is missing or infinite, and for all where replays of different coins are too few to tell a
    spread, which takes three.
    """
    ratio = np.zeros(len(answer))
    there = np.isfinite(answer) & np.isfinite(replies).all(axis=0)
    if there.any():
        ratio[there] = _ratio(answer[there], replies[:, there], *_kinds(coins, there))
    return ratio


def _kinds(coins: Bool, there: Bool) -> tuple[Float, Int]:
    """Different coins [G, n] as 0 and 1, and the kind [S] of each replay."""
    kinds, kind = np.unique(coins, axis=0, return_inverse=True)
    return kinds[:, there].astype(np.float64), np.asarray(kind.ravel(), dtype=np.int64)


def _ratio(answer: Float, replies: Float, coins: Float, kind: Int) -> Float:
    size = np.bincount(kind, minlength=len(coins)).astype(np.float64)
    means = np.stack([replies[kind == one].mean(axis=0) for one in range(len(coins))])
    within, freedom_within = np.square(replies - means[kind]).sum(axis=0), len(replies) - len(coins)
    share = 0.5 if freedom_within else 1.0
    for _ in range(TURNS):
        weight = 1 / (1 - share + share / size)
        coin, mean = (np.average(values, axis=0, weights=weight) for values in (coins, means))
        aside, off = coins - coin, means - mean
        spread = weight @ np.square(aside)
        tossed = spread > FLAT
        if not tossed.any():
            return np.zeros(len(answer))
        gap = weight @ (aside * off) / np.maximum(spread, FLAT)
        between, freedom = weight @ np.square(off - gap * aside), len(coins) - 1 - tossed.astype(np.float64)
        residual = between + within
        limit = WILD * np.quantile(residual[tossed], 0.75)
        # Replays that answer by labels agree on most records, up to rounding.
        usual = tossed & (residual <= limit) if limit > FLAT * residual[tossed].max() else tossed
        if freedom[usual].sum() <= 0 or between[usual].sum() <= 0:
            return np.zeros(len(answer))
        variance = between[usual].sum() / freedom[usual].sum()
        old = share
        if freedom_within:
            share = float(np.clip(within[usual].mean() / freedom_within / variance, LEAST, 1.0))
        if abs(share - old) < LEAST / 10:
            break
    if freedom_within and share > LEAST:  # copies of a replay are one
        squares, freedom = between + within / share, freedom + freedom_within
    else:
        squares = between
    variance = squares[usual].sum() / freedom[usual].sum()
    total = spread[usual].sum()
    typical = np.square(spread[usual]).sum() / total
    common = (gap * spread)[usual].sum() / total
    excess = (np.square(gap - common) * spread)[usual].sum() - (usual.sum() - 1) * variance
    differ = max(0.0, float(excess / max(total - typical, FLAT)))
    trust = spread * differ / (spread * differ + variance)
    gap = common + trust * (gap - common)
    open_gap = differ * (1 - trust) + np.square(1 - trust) * (differ * typical + variance) / total
    base = mean - gap * coin
    outside, inside = (variance * (1 + 1 / weight.sum()) + open_gap * np.square(side - coin) for side in (0.0, 1.0))
    degrees, scale = _scales(squares, freedom, variance, usual)
    return np.asarray(
        0.5 * np.log(outside / inside)
        + 0.5
        * (degrees + 1)
        * (
            np.log1p(np.square(answer - base) / (degrees * scale * outside))
            - np.log1p(np.square(answer - base - gap) / (degrees * scale * inside))
        )
    )


def _scales(squares: Float, freedom: Float, variance: float, usual: Bool) -> tuple[Float, Float]:
    """Degrees of freedom [n] of each record's variance, and that variance [n] over the pooled one."""
    by_chance = 2 / freedom[usual].mean()
    seen = np.var((squares / np.maximum(freedom, 1))[usual]) / variance**2
    prior = 4 + 2 / max((seen - by_chance) / (1 + by_chance), LEAST)
    degrees = np.minimum(prior + freedom, freedom[usual].sum())
    return degrees, ((prior - 2) * variance + squares) / (prior + freedom) / variance


__all__ = ["predictive_ratio"]
