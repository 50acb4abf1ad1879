"""A sequential audit of (epsilon, delta)-DP: runs are looked at as they come, and the audit stops when it may.

Each run draws a fair coin for its one canary and gives a score. Whatever event A is fixed before a run,

    X = 1{A and in} - e^epsilon 1{A and out} - delta / 2

has mean at most 0 under (epsilon, delta)-DP, so the wealth of whoever bets a part ``stake`` of it on X each time is a
non-negative supermartingale: it ever reaches 1 / error with probability ``error`` at most (Ville). Nothing is paid for
looking after every run, and a claim that is far off falls early. Sequential audits by betting: Gonzalez et al. 2025,
arXiv 2509.07055; of whole trade-off curves: Kutta et al. 2026, arXiv 2602.06518.

Two bettors share the wealth: one on scores above a threshold, one on scores not above it with in and out exchanged.
Threshold and stake of each are those that would have grown fastest on the runs before (Kelly 1956; its stake is that
of delta 0, so nearly the fastest where delta is small).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from fedprivacy.metrics.epsilon.bound import check_audit
from fedprivacy.metrics.scores import Bool, Float, as_coins, as_scores

FIRST = 20
"""Runs before the first bet."""
GROWTH = 1.1
"""Threshold and stake are chosen anew when there are so many times more runs."""
MOST = 0.95
"""Largest part of the wealth that may be lost in one run."""
LARGEST = 500.0
"""Epsilon from which on every stake is 0, since e^epsilon outnumbers all runs: larger ones are the same bets."""


@dataclass
class Bettor:
    """One that bets on scores above a threshold while the canary is in; ``sign`` -1: below it, while it is out."""

    sign: int
    log_wealth: float = 0.0
    threshold: float = math.inf
    stake: float = 0.0

    def learn(self, scores: Float, coins: Bool, epsilon: float, delta: float) -> float:
        """Choose threshold and stake on past ``scores`` [t] and ``coins`` [t]; by how much a run would have grown the
        logarithm of the wealth, 0 where nothing is staked."""
        ordered = np.argsort(-self.sign * scores, kind="stable")
        usual = coins[ordered] if self.sign > 0 else ~coins[ordered]
        hits, alarms = np.cumsum(usual), np.cumsum(~usual)
        values = (self.sign * scores)[ordered]
        last = np.append(values[1:] < values[:-1], False)
        grow = _odds(epsilon)
        p, q, rest = hits + 0.5, alarms + 0.5, len(scores) - hits - alarms + 0.5
        stakes = np.clip((p - grow * q) / (grow * (p + q)), 0.0, MOST / (grow + delta / 2))
        growth = (
            p * np.log1p(stakes * (1 - delta / 2))
            + q * np.log1p(-stakes * (grow + delta / 2))
            + rest * np.log1p(-stakes * delta / 2)
        )
        growth[~last] = -math.inf
        best = int(np.argmax(growth))
        self.stake = float(stakes[best]) if growth[best] > 0 else 0.0
        self.threshold = float(values[best])
        return max(0.0, float(growth[best])) / len(scores)

    def gains(self, scores: Float, coins: Bool, epsilon: float, delta: float) -> Float:
        """What runs [n] by ``scores`` and ``coins`` add to the logarithm of the wealth."""
        inside = self.sign * scores >= self.threshold
        usual = coins == (self.sign > 0)
        pays = np.where(usual, 1.0, -_odds(epsilon)) * inside - delta / 2
        return np.log1p(self.stake * pays)

    def bet(self, score: float, coin: bool, epsilon: float, delta: float) -> None:
        """One run."""
        self.log_wealth += float(self.gains(np.array([score]), np.array([coin]), epsilon, delta)[0])


@dataclass
class SequentialAudit:
    """The claim (``epsilon``, ``delta``) against runs as they come; ``refuted_after`` says after how many it fell."""

    epsilon: float
    delta: float
    level: float = 0.95
    scores: list[float] = field(default_factory=list)
    coins: list[bool] = field(default_factory=list)
    bettors: tuple[Bettor, Bettor] = field(default_factory=lambda: (Bettor(1), Bettor(-1)))
    refuted_after: int | None = None
    _next: int = FIRST

    def __post_init__(self) -> None:
        check_audit(self.level, self.delta)
        if self.epsilon < 0:
            raise ValueError(f"epsilon must not be negative, got {self.epsilon}.")

    @property
    def evidence(self) -> float:
        """The wealth, from 1: an e-value against the claim. The claim is refuted where it ever was 1 / (1 - level)."""
        return float(np.mean([math.exp(min(700.0, bettor.log_wealth)) for bettor in self.bettors]))

    def see(self, score: float, coin: bool) -> bool:
        """Take one run into account; whether the claim is refuted by now. NaN raises ValueError."""
        if math.isnan(score):
            raise ValueError("a score is NaN.")
        for bettor in self.bettors:
            bettor.bet(score, coin, self.epsilon, self.delta)
        self.scores.append(score)
        self.coins.append(coin)
        if self.refuted_after is None and self.evidence >= 1 / (1 - self.level):
            self.refuted_after = len(self.scores)
        if len(self.scores) >= self._next:
            past, known = np.array(self.scores), np.array(self.coins)
            for bettor in self.bettors:
                bettor.learn(past, known, self.epsilon, self.delta)
            self._next = int(self._next * GROWTH) + 1
        return self.refuted_after is not None


def runs_until_refuted(
    scores: Iterable[float], coins: Iterable[bool], epsilon: float, *, delta: float, level: float = 0.95
) -> int | None:
    """After how many runs, in this order, the claim fell; None: it stands. Raises ValueError on NaN."""
    checked = as_scores(list(scores))
    audit = SequentialAudit(epsilon, delta, level)
    for score, coin in zip(checked, as_coins(list(coins), checked.shape), strict=True):
        if audit.see(float(score), bool(coin)):
            return audit.refuted_after
    return None


def _odds(epsilon: float) -> float:
    return math.exp(min(epsilon, LARGEST))
