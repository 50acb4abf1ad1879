"""The claim's own curve in audits: the family of mechanisms behind it, null, power, and what is reachable."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from scipy.stats import binom

from fedprivacy.metrics.epsilon.bound import Curve
from fedprivacy.metrics.epsilon.gaussian import gdp_epsilon
from fedprivacy.metrics.epsilon.guesses import TESTS, correct_guesses
from fedprivacy.metrics.epsilon.trade_off import (
    GaussianCurve,
    ProfileCurve,
    approximate,
    strongest_accuracy,
    strongest_scores,
)
from fedprivacy.privacy import Gaussian, NoNoise, PoissonSampledGaussian, PostProcessing, PrivacyEvent
from fedprivacy.privacy.accountant import claim
from fedprivacy.study.audit.bounds import PARTS, bounds_of, planned_guesses
from fedprivacy.study.audit.curves import LEAKS, Family

DELTA = 1e-5
PLAIN = [PrivacyEvent(0, t, "training", Gaussian(4.0)) for t in range(12)]
SAMPLED = [PrivacyEvent(0, t, "training", PoissonSampledGaussian(1.5, 0.16, 12)) for t in range(4)]


def family(events: list[PrivacyEvent]) -> Family:
    found = Family.of(events, DELTA)
    assert found is not None
    return found


@pytest.mark.parametrize("events", [PLAIN, SAMPLED])
def test_at_leak_one_it_is_the_claim(events: list[PrivacyEvent]) -> None:
    epsilon, curve = family(events).at(1.0)
    assert epsilon == pytest.approx(claim(events, DELTA).epsilon)
    assert isinstance(curve, GaussianCurve if events is PLAIN else ProfileCurve)


def test_epsilon_rises_with_the_leak() -> None:
    found = family(PLAIN)
    epsilons = [found[i][0] for i in range(0, len(LEAKS), 12)]
    assert epsilons == sorted(epsilons) and epsilons[0] < 0.2 < 15 < epsilons[-1]


def test_a_profile_of_one_full_batch_is_the_gaussian_curve() -> None:
    """A sampling rate of nearly 1 against the closed form, from different libraries."""
    near = family([PrivacyEvent(0, 1, "training", PoissonSampledGaussian(1.0, 0.99999, 1))]).claimed
    x = np.linspace(0.01, 0.99, 50)
    assert np.abs(near.forced(x) - GaussianCurve(1.0).forced(x)).max() < 5e-3


def test_what_has_no_one_curve_has_no_family() -> None:
    assert Family.of([], DELTA) is None
    assert Family.of([PrivacyEvent(0, 1, "weights", PostProcessing())], DELTA) is None
    assert Family.of([*PLAIN, PrivacyEvent(0, 1, "n_k", NoNoise())], DELTA) is None
    assert Family.of([*PLAIN, PrivacyEvent(1, 1, "x", Gaussian(1.0), "record", "replace-one")], DELTA) is None


def test_the_client_that_pays_most_stands_for_the_claim() -> None:
    more = [*PLAIN, *(PrivacyEvent(1, t, "training", Gaussian(2.0)) for t in range(12))]
    assert family(more).at(1.0)[0] == pytest.approx(gdp_epsilon(np.sqrt(12) / 2, DELTA))


def test_an_honest_mechanism_stays_below_its_claim_and_near_what_is_reachable() -> None:
    found, above, shares = family(PLAIN), 0, []
    epsilon, curve = found.at(1.0)
    for draw in range(60):
        rng = np.random.default_rng(draw)
        coins = rng.random(500) < 0.5
        bounds = bounds_of(strongest_scores(curve, coins, rng), coins, delta=DELTA, family=found, root=draw)
        above += bounds.best.low > epsilon
        shares.append([one.low / (one.reachable or 1) for one in bounds.judged])
    assert above <= binom.ppf(0.999, 60, 0.05)
    assert np.median(shares, axis=0) == pytest.approx([1, 1], abs=0.25)


def test_noise_alone_gives_nothing_and_a_plain_leak_refutes() -> None:
    found = family(PLAIN)
    fired = 0
    for draw in range(100):
        rng = np.random.default_rng(1000 + draw)
        coins = rng.random(300) < 0.5
        fired += bounds_of(rng.normal(size=300), coins, delta=DELTA, family=found, root=draw).best.low > 0
    assert fired <= binom.ppf(0.999, 100, 0.05)
    coins = np.random.default_rng(5).random(1000) < 0.5
    leak = bounds_of(coins * 1.0, coins, delta=DELTA, family=found)
    assert min(one.low for one in leak.judged) > found.at(1.0)[0]


@pytest.mark.parametrize("curve", [GaussianCurve(1.0), approximate(1.5, 0.01)])
def test_the_expected_share_of_right_guesses_is_that_of_simulation(curve: GaussianCurve | ProfileCurve) -> None:
    rng, m = np.random.default_rng(6), 200_000
    coins = rng.random(m) < 0.5
    scores = strongest_scores(curve, coins, rng)
    for share in (0.05, 0.3, 1.0):
        # Guesses at either end: the curve is symmetric, so one end stands for both.
        ordered = coins[np.argsort(scores, kind="stable")][::-1]
        right = float(ordered[: int(share * m / 2)].mean())
        assert strongest_accuracy(curve, share) == pytest.approx(right, abs=0.01)


def test_the_planned_number_of_guesses_shows_an_excess_as_well_as_any_other() -> None:
    """Against simulation of a mechanism with half the noise that is claimed."""
    found, m, error = family(PLAIN), 3000, 0.025
    for kind in get_args(Curve):
        test, planned = TESTS[kind], planned_guesses(m, kind, found.at(1.0)[0], DELTA, error)
        lows: dict[int, list[float]] = {m // part: [] for part in PARTS}
        for draw in range(5):
            rng = np.random.default_rng(draw)
            coins = rng.random(m) < 0.5
            scores = strongest_scores(found.at(2.0)[1], coins, rng)
            for r in lows:
                lows[r].append(test.bound(m, r, correct_guesses(scores, coins, [r], rng)[0], DELTA, error))
        means = {r: float(np.mean(values)) for r, values in lows.items()}
        assert means[planned] > 0.9 * max(means.values())


def test_where_no_excess_can_show_the_plan_is_for_what_an_honest_mechanism_shows() -> None:
    few = planned_guesses(40, "dp", 4.0, DELTA, 0.025)
    assert 10 <= few <= 40
