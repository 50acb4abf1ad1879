"""Audits of functions that stop early: bets win on what is false, the sooner the more, and lose on what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.metrics.epsilon.gaussian import gdp_mu
from fedprivacy.metrics.epsilon.sequential import Bettor, most_refuted
from fedprivacy.study.mechanism.audit import Stated
from fedprivacy.study.mechanism.early import START, Rung, audit_until_refuted

DELTA, PAIR = 1e-5, {"both": (np.zeros(3), np.eye(3)[0])}


def gaussian(epsilon: float, seed: int = 0):
    """Noise of exactly ``epsilon`` at distance 1."""
    rng = np.random.default_rng(seed)
    return lambda x: x + rng.normal(size=x.shape) / gdp_mu(epsilon, DELTA)


def audited(true: float, claimed: float, calls: int = 6000, seed: int = 0):
    stated = Stated("noised", claimed, DELTA, "neighbouring")
    return audit_until_refuted(gaussian(true, seed), stated, PAIR, calls=calls, root=seed)


def test_power_a_claim_falls_the_sooner_the_more_false_it_is() -> None:
    needed = []
    for true in (4.0, 8.0, 30.0):
        found = audited(true, 1.0)
        assert found.refuted and found.evidence is not None and found.evidence >= 20
        needed.append(found.calls)
    assert needed[0] > needed[1] > needed[2] > START


def test_an_honest_claim_stands_and_the_bound_lies_below_it() -> None:
    found = audited(2.0, 2.0)
    assert not found.refuted and found.calls == found.budget == 6000
    assert found.low < 2 and found.evidence is not None and found.evidence < 20
    assert found.verdict.verdict in ("not refuted", "inconclusive")


def test_all_rungs_below_what_is_told_have_fallen() -> None:
    found = audited(6.0, 6.0)
    assert not found.refuted and 0 < found.low < 6
    assert found.low / 0.5 == pytest.approx(round(found.low / 0.5))


def test_what_hides_nothing_falls_at_once_and_no_claim_above_the_ceiling_does() -> None:
    stated = Stated("bare", 3.0, 0.0, "any")
    bare = audit_until_refuted(lambda x: x, stated, PAIR, calls=3000)
    assert bare.refuted and bare.calls < 900
    above = Stated("bare", bare.ceiling + 0.1, 0.0, "any")
    found = audit_until_refuted(lambda x: x, above, PAIR, calls=3000)
    assert found.verdict.verdict == "inconclusive" and "raise --calls" in found.verdict.why


def test_the_most_that_can_fall_is_what_a_bettor_that_always_wins_gains() -> None:
    """Half of the calls win a stake that is as large as may be; two bettors, one error."""
    runs, delta = 1000, 1e-5
    epsilon = most_refuted(runs, delta=delta)
    bettor = Bettor(1, threshold=0.5, stake=0.95 / (math.exp(epsilon) + delta / 2))
    coins = np.arange(runs) % 2 == 0
    gained = float(bettor.gains(np.where(coins, 1.0, 0.0), coins, epsilon, delta).sum())
    assert gained == pytest.approx(math.log(2 / 0.05), rel=1e-3)
    assert most_refuted(0, delta=delta) == most_refuted(3, delta=delta) == 0


def test_bets_rest_on_what_was_learned_before() -> None:
    rung = Rung(1.0, 0.0, 0.05)
    coins = np.arange(40) % 2 == 0
    rung.learn({"good": coins * 1.0, "bad": np.zeros(40)}, coins)
    assert rung.statistics == ["good", "good"] and not rung.fallen
    rung.bet({"good": coins * 1.0, "bad": np.zeros(40)}, coins)
    assert rung.fallen
    other = Rung(1.0, 0.0, 0.05)
    other.learn({"good": coins * 1.0}, coins)
    other.bet({"good": ~coins * 1.0}, coins)
    assert not other.fallen


def test_too_few_calls_are_one_line() -> None:
    with pytest.raises(UsageError, match="400 at least"):
        audited(1.0, 1.0, calls=100)
