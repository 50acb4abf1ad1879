"""Scores of an inferred label distribution, and what guessing without looking would have scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedprivacy.metrics.intervals import Interval, paired_interval
from fedprivacy.metrics.scores import Float

KL_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class LabelScores:
    """Scores [K] of K clients. Distances: 0 is exact. ``top_hit``: chance that a named top class is a true one."""

    tv: Float
    chebyshev: Float
    l1: Float
    kl: Float
    top_hit: Float


def as_histograms(values: ArrayLike, name: str = "histograms") -> Float:
    """Counts or probabilities [..., C] as float64 rows that sum to 1.

    Raises ValueError on a negative or non-finite entry, or a row that sums to zero.
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim == 0 or rows.size == 0 or not np.isfinite(rows).all() or (rows < 0).any():
        raise ValueError(f"{name} must be finite and not negative, with at least one class.")
    total = rows.sum(axis=-1, keepdims=True)
    if (total == 0).any():
        raise ValueError(f"{name} hold a row without any record.")
    shares: Float = rows / total
    return shares


def compare_labels(truth: ArrayLike, estimate: ArrayLike) -> LabelScores:
    """Distances between label histograms ``truth`` [..., C] and ``estimate`` [..., C] (counts or shares).

    Total variation, Chebyshev (largest difference), L1 = 2 TV, and KL(truth || estimate) in nats, where the estimate
    is floored at 1e-6 and summed to 1 again, so that KL is finite and never negative. ``top_hit`` is the chance that
    one of the estimate's largest classes, drawn at random among ties, is a largest class of the truth.
    """
    true_shares, guessed = np.broadcast_arrays(as_histograms(truth, "truth"), as_histograms(estimate, "estimate"))
    difference = np.abs(true_shares - guessed)
    floored = np.maximum(guessed, KL_FLOOR)
    floored = floored / floored.sum(axis=-1, keepdims=True)
    safe = np.where(true_shares > 0, true_shares, 1.0)
    kl = np.sum(true_shares * (np.log(safe) - np.log(floored)), axis=-1)
    true_top = true_shares == true_shares.max(axis=-1, keepdims=True)
    named_top = guessed == guessed.max(axis=-1, keepdims=True)
    return LabelScores(
        tv=difference.sum(axis=-1) / 2,
        chebyshev=difference.max(axis=-1),
        l1=difference.sum(axis=-1),
        kl=np.maximum(kl, 0.0),
        top_hit=(true_top & named_top).sum(axis=-1) / named_top.sum(axis=-1),
    )


def chance_labels(
    truth: ArrayLike, prior: ArrayLike, alpha: float, rng: np.random.Generator, draws: int = 1000
) -> dict[str, LabelScores]:
    """Scores of three guesses that look at nothing, against ``truth`` [K, C].

    ``uniform``; ``prior`` [C], the histogram of the public records; ``dirichlet``, the mean score of ``draws`` random
    histograms with concentration ``alpha``, as an adversary who knows only the skew would guess.
    """
    true_shares = as_histograms(truth, "truth")
    if true_shares.ndim != 2 or alpha <= 0 or draws < 1:
        raise ValueError(f"need truth [K, C], alpha > 0 and a draw, got {true_shares.shape}, {alpha}, {draws}.")
    classes = true_shares.shape[1]
    # A gamma underflows to zero in every class for a tiny alpha; numpy's Dirichlet sampler does not.
    random = compare_labels(true_shares[None], rng.dirichlet(np.full(classes, alpha), size=(draws, 1)))
    return {
        "uniform": compare_labels(true_shares, np.full(classes, 1 / classes)),
        "prior": compare_labels(true_shares, np.asarray(prior, dtype=np.float64)),
        "dirichlet": LabelScores(
            tv=random.tv.mean(axis=0),
            chebyshev=random.chebyshev.mean(axis=0),
            l1=random.l1.mean(axis=0),
            kl=random.kl.mean(axis=0),
            top_hit=random.top_hit.mean(axis=0),
        ),
    }


def gain_over_best(own: ArrayLike, guesses: Sequence[ArrayLike], level: float = 0.95) -> Interval:
    """How much smaller the mean of distances ``own`` [K] is than that of the best of several ``guesses`` [K] each.

    Positive: the estimate is nearer than every guess. Which guess is best is read off the same clients, so the lower
    end is the least of the paired Student-t lower ends over all guesses: it lies above the true least gain no more
    often than one of them does (an intersection-union test; Berger 1982). The upper end is that of the best guess.
    """
    if not guesses:
        raise ValueError("there is no guess to be better than.")
    found = [paired_interval(guess, own, level) for guess in guesses]
    least = min(found, key=lambda one: one.value)
    low = min(one.low for one in found)
    return Interval(least.value, low, least.high, level, "least of paired t intervals", least.note)
