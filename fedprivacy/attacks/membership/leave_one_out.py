"""Every federation of a shadow bank is also a target, with all the others as its references.

A target's own coins are never among its references. The sums over references are taken once and the target's own term
is subtracted, so scoring all F targets costs about as much as scoring one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fedprivacy.adversary.threat import Bool, Float, Int, References, Signals
from fedprivacy.attacks.membership.logits import one_minus_p
from fedprivacy.attacks.membership.statistics.ratio import log_ratio


def leave_one_out(
    logp: Float,
    coins: Bool,
    labels: Int,
    *,
    seen: Bool | None = None,
    clean: Bool | None = None,
    population_logp: Float | None = None,
    population_labels: Int | None = None,
    peers_logp: Float | None = None,
    peers_population_logp: Float | None = None,
) -> Iterator[Signals]:
    """Signals of each of the F federations in turn, about one client slot.

    ``logp`` [F, rounds, n, C] and ``coins`` [F, n] of that slot; ``seen``, ``clean`` [F, rounds, n] (default: all
    True); ``population_logp`` [F, rounds, M, C]. ``peers_logp`` [F, P, rounds, n, C] are the other clients of the
    same federation, never trained on the slot's candidates, added as further references. Without peers the reference
    arrays are views, not copies. Raises ValueError for fewer than two federations, or peers that lack a population
    the target has.
    """
    federations = len(logp)
    if federations < 2 or coins.shape != (federations, logp.shape[2]):
        raise ValueError(f"leave one out needs two or more federations with coins; got {federations}")
    if peers_logp is not None and (peers_population_logp is None) != (population_logp is None):
        raise ValueError("peers must predict on the population exactly when the target does")
    everywhere = np.ones(logp.shape[:3], dtype=np.bool_)
    seen = everywhere if seen is None else seen
    clean = everywhere if clean is None else clean
    # Twice around the ring: the F - 1 others of any federation are then one contiguous slice.
    ring, ring_coins = np.concatenate([logp, logp[:-1]]), np.concatenate([coins, coins[:-1]])
    ring_population = None
    if population_logp is not None:
        ring_population = np.concatenate([population_logp, population_logp[:-1]])
    for f in range(federations):
        others = slice(f + 1, f + federations)
        reference_logp, included = ring[others], ring_coins[others]
        population = None if ring_population is None else ring_population[others]
        if peers_logp is not None:
            reference_logp = np.concatenate([reference_logp, peers_logp[f]])
            included = np.concatenate([included, np.zeros((len(peers_logp[f]), coins.shape[1]), dtype=np.bool_)])
            if population is not None and peers_population_logp is not None:
                population = np.concatenate([population, peers_population_logp[f]])
        yield Signals(
            logp[f],
            seen[f],
            clean[f],
            labels,
            References(reference_logp, included, population),
            None if population_logp is None else population_logp[f],
            population_labels,
        )


def means_without_self(values: Float, mask: Bool) -> tuple[Float, Int]:
    """Mean over the other federations in ``mask``, for every federation at once: [F, n] -> [F, n], and the counts.

    With ``A = sum_s mask*values`` and ``n = sum_s mask``: ``(A - mask_f values_f) / (n - mask_f)``; 0 where no
    other is left.
    """
    own = np.where(mask, values, 0.0)
    count = mask.sum(axis=0) - mask
    return np.asarray((own.sum(axis=0) - own) / np.maximum(count, 1)), np.asarray(count, dtype=np.int64)


def variances_without_self(values: Float, mask: Bool) -> Float:
    """Fixed (pooled within-candidate) variance of the other federations, for every federation: [F, n] -> [F].

    Candidates are centred first, so that subtracting a federation's own terms cancels nothing that matters. NaN where
    no candidate has two others.
    """
    count = mask.sum(axis=0)
    centre = np.where(mask, values, 0.0).sum(axis=0) / np.maximum(count, 1)
    residual = np.where(mask, values - centre, 0.0)
    left = count - mask
    sums = residual.sum(axis=0) - residual
    squares = (residual**2).sum(axis=0) - residual**2 - sums**2 / np.maximum(left, 1)
    freedom = np.maximum(left - 1, 0).sum(axis=1)
    return np.where(freedom > 0, squares.sum(axis=1) / np.maximum(freedom, 1), np.nan)


def ratios_without_self(margins: Float, coins: Bool, a: float = 0.3) -> tuple[Float, Int]:
    """Log ratio scores of all F targets at once from margins [F, n], and their OUT counts [F, n].

    Equal to the ``ratio`` statistic on each of :func:`leave_one_out`'s signals wherever the count is positive; where
    it is 0 the statistic's class mean must be used instead, and the value here is NaN.
    """
    missed, count = means_without_self(one_minus_p(margins), ~coins)
    return np.where(count > 0, log_ratio(margins, missed, a), np.nan), count
