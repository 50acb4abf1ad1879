"""Trade-off curves of a mechanism, as what an audit needs of them: how rarely an event may happen with the canary out.

A mechanism is f-DP (Dong, Roth, Su 2022, definition 2.3) if no test of "in" against "out" has type II error below
f(type I error). For an event that happens with probability x while the canary is in, it then happens with probability
at least ``forced(x) = (1 - f)^-1 (x)`` while it is out, and the same with in and out exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Float = NDArray[np.float64]


class TradeOff(Protocol):
    """A symmetric trade-off curve."""

    def forced(self, x: Float) -> Float:
        """Least probability with the canary out, of events of probability ``x`` [n] with it in; never above x."""


@dataclass(frozen=True)
class GaussianCurve:
    """``mu``-GDP: what a Gaussian of deviation 1 tells of a shift by ``mu``."""

    mu: float

    def forced(self, x: Float) -> Float:
        return np.asarray(ndtr(ndtri(x) - self.mu))


@dataclass(frozen=True, eq=False)
class ProfileCurve:
    """The curve of a privacy profile: (``epsilons`` [k], ``deltas`` [k])-DP for every k, in both directions.

    The largest curve that all these pairs prove (Dong, Roth, Su 2022, proposition 2.12), so never above that of the
    mechanism behind the profile.
    """

    epsilons: Float
    deltas: Float

    def __post_init__(self) -> None:
        if self.epsilons.shape != self.deltas.shape or not len(self.epsilons) or (self.epsilons < 0).any():
            raise ValueError("a profile is pairs of epsilon, at least 0, and delta.")

    def forced(self, x: Float) -> Float:
        grow = np.exp(self.epsilons)
        left = (x[..., None] - self.deltas) / grow
        right = 1 - self.deltas - grow * (1 - x[..., None])
        return np.asarray(np.clip(np.maximum(left, right).max(axis=-1), 0.0, x))


def approximate(epsilon: float, delta: float) -> ProfileCurve:
    """The curve of (``epsilon``, ``delta``)-DP alone."""
    return ProfileCurve(np.array([epsilon]), np.array([delta]))


def strongest_scores(curve: TradeOff, coins: NDArray[np.bool_], rng: np.random.Generator) -> Float:
    """Scores [m], higher says in, of the strongest adversary of a mechanism with exactly this curve, on ``coins`` [m].

    A score is minus the p-value of "out": uniform where the canary is out, and with distribution function 1 - f where
    it is in.
    """
    uniform = rng.random(len(coins))
    return np.asarray(-np.where(coins, curve.forced(uniform), uniform))


def strongest_accuracy(curve: TradeOff, share: float) -> float:
    """Share of right guesses that the same adversary may expect on the ``share`` of the canaries it is surest of.

    Half are guessed in, half out. Those guessed in are in with probability x / (x + forced(x)), where the in-canaries
    above the threshold are a part x of all of them, and (x + forced(x)) / 2 is half of ``share``.
    """

    def excess(x: float) -> float:
        return x + float(curve.forced(np.array([x]))[0]) - share

    return float(scipy.optimize.brentq(excess, 0.0, 1.0, xtol=1e-12)) / share
