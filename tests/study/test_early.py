"""Audits of functions that stop early: bets win on what is false, the sooner the more, and lose on what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.metrics.epsilon.gaussian import gdp_mu
from fedprivacy.study.mechanism.audit import Stated
from fedprivacy.study.mechanism.early import START, Rung, all_fallen, audit_until_refuted, most_refuted

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


@pytest.mark.parametrize(("calls", "delta"), [(600, 0.0), (3000, DELTA)])
def test_without_noise_a_claim_just_below_the_ceiling_falls_and_one_just_above_does_not(calls, delta) -> None:
    ceiling = most_refuted(calls, delta, 0.95)
    for root in range(3):
        for claimed, falls in ((ceiling - 0.1, True), (ceiling + 0.1, False)):
            stated = Stated("bare", claimed, delta, "any")
            found = audit_until_refuted(lambda x: x, stated, PAIR, calls=calls, root=root)
            assert (found.refuted, found.ceiling) == (falls, ceiling)


def test_the_ceiling_grows_with_calls_and_falls_with_what_is_asked_for() -> None:
    few, many = (most_refuted(calls, DELTA, 0.95) for calls in (400, 4000))
    assert 0 < most_refuted(400, DELTA, 0.999) < few < many
    assert most_refuted(START, DELTA, 0.95) == 0


def test_a_claim_that_falls_before_smaller_ones_lifts_no_bound() -> None:
    """Else two claims above the truth could fall, at an error each."""
    rungs = [Rung(epsilon, 0.0, 0.05) for epsilon in (1.0, 2.0, 3.0)]
    assert all_fallen(rungs) == 0
    rungs[0].most = rungs[2].most = math.log(20)
    assert rungs[2].fallen and all_fallen(rungs) == 1
    rungs[1].most = math.log(20)
    assert all_fallen(rungs) == 3


def test_a_claim_beyond_every_float_is_inconclusive() -> None:
    found = audit_until_refuted(lambda x: x, Stated("bare", 1000.0, DELTA, "any"), PAIR, calls=600)
    assert found.verdict.verdict == "inconclusive" and "raise --calls" in found.verdict.why
    assert found.low == 0 < found.ceiling


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
