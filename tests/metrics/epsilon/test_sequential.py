"""Sequential audits by betting: silent on honest mechanisms however often one looks, quick on false claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon, gdp_mu
from fedprivacy.metrics.epsilon.sequential import SequentialAudit, runs_until_refuted
from fedprivacy.metrics.epsilon.thresholds import epsilon_split

DELTA = 1e-5


def response(runs: int, epsilon: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Randomised response, for which (epsilon, 0)-DP is tight, as scores and coins."""
    coins = rng.random(runs) < 0.5
    kept = rng.random(runs) < 1 / (1 + math.exp(-epsilon))
    return np.where(kept, coins, ~coins) * 1.0, coins


def test_a_tight_mechanism_falls_no_more_often_than_it_may_though_every_run_is_looked_at() -> None:
    fallen = 0
    for draw in range(100):
        scores, coins = response(200, 1.0, np.random.default_rng(draw))
        fallen += runs_until_refuted(scores, coins, 1.0, delta=0.0) is not None
    assert fallen <= binom.ppf(0.999, 100, 0.05)


def test_the_wealth_is_a_fair_game_on_a_tight_mechanism() -> None:
    """Its mean after any number of runs is at most 1, here nearly, by exact expectation over the next run."""
    audit = SequentialAudit(1.0, 0.01)
    scores, coins = response(200, 3.0, np.random.default_rng(0))
    for score, coin in zip(scores, coins, strict=True):
        audit.see(float(score), bool(coin))
    keep = 1 / (1 + math.exp(-1.0))
    for bettor in audit.bettors:
        assert bettor.stake > 0
        mean, before = 0.0, bettor.log_wealth
        for coin in (False, True):
            for right in (False, True):
                bettor.log_wealth = before
                bettor.bet(float(coin == right), coin, audit.epsilon, audit.delta)
                mean += 0.5 * (keep if right else 1 - keep) * math.exp(bettor.log_wealth - before)
        assert 1 - 0.02 < mean <= 1 + 1e-9


@pytest.mark.parametrize(("true", "claimed", "most"), [(4.0, 1.0, 1500), (8.0, 2.0, 1000), (30.0, 4.0, 900)])
def test_false_claims_fall_the_sooner_the_more_false_they_are(true: float, claimed: float, most: int) -> None:
    """Gaussian noise of epsilon ``true``; a batch of as many runs, half of them to find a threshold, does less."""
    needed, batch = [], []
    for draw in range(9):
        rng = np.random.default_rng(draw)
        coins = rng.random(2 * most) < 0.5
        scores = rng.normal(size=2 * most) + gdp_mu(true, DELTA) * coins
        needed.append(runs_until_refuted(scores, coins, claimed, delta=DELTA) or 2 * most)
        some, half = scores[: needed[-1]], coins[: needed[-1]]
        batch.append(epsilon_split(some[half], some[~half], delta=DELTA, rng=rng).low > claimed)
    assert np.median(needed) < most
    assert np.mean(batch) < 0.5


def test_runs_can_be_seen_in_pieces_and_the_evidence_grows() -> None:
    rng = np.random.default_rng(0)
    audit = SequentialAudit(gdp_epsilon(0.5, DELTA) / 2, DELTA)
    assert audit.evidence == 1
    seen = 0
    while not audit.see(float((coin := rng.random() < 0.5) * 9 + rng.normal()), coin):
        seen += 1
    assert audit.refuted_after == seen + 1 < 120
    assert audit.evidence >= 20


@pytest.mark.parametrize(("epsilon", "delta", "level"), [(-1, 0, 0.95), (1, 1, 0.95), (1, 0, 1.0)])
def test_what_is_no_claim_is_refused(epsilon: float, delta: float, level: float) -> None:
    with pytest.raises(ValueError, match=r"epsilon|delta|level"):
        SequentialAudit(epsilon, delta, level)


def test_nobody_bets_against_a_claim_whose_odds_no_float_holds() -> None:
    audit = SequentialAudit(1000.0, DELTA)
    for coin in [True, False] * 50:
        audit.see(float(coin), coin)
    assert audit.evidence == 1 and all(bettor.stake == 0 for bettor in audit.bettors)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        SequentialAudit(1.0, 0.0).see(math.nan, True)
