"""Every federation as a target: the right references, no coin of its own, and fast sums equal to the loop."""

from __future__ import annotations

import numpy as np
import pytest

from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.leave_one_out import (
    leave_one_out,
    means_without_self,
    ratios_without_self,
    variances_without_self,
)
from fedprivacy.attacks.membership.logits import log_softmax, phi
from fedprivacy.attacks.membership.moments import masked_mean, pooled_variance, squared_residuals
from fedprivacy.attacks.membership.statistics.lira_offline import CoopLira
from fedprivacy.attacks.membership.statistics.ratio import Ratio

F, ROUNDS, N, C, M, P = 6, 2, 30, 4, 9, 3


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)

    def logp(*shape: int):
        return log_softmax(rng.normal(size=(*shape, C)))

    return {
        "logp": logp(F, ROUNDS, N),
        "coins": rng.random((F, N)) < 0.5,
        "labels": rng.integers(0, C, N),
        "population_logp": logp(F, ROUNDS, M),
        "population_labels": rng.integers(0, C, M),
        "peers_logp": logp(F, P, ROUNDS, N),
        "peers_population_logp": logp(F, P, ROUNDS, M),
    }


def rolled(values, f: int):
    """The others, in the order f+1, f+2, ..."""
    return np.delete(np.roll(values, -f, axis=0), 0, axis=0)


def test_references_are_all_the_others(stored):
    stored = {name: value for name, value in stored.items() if not name.startswith("peers")}
    all_signals = list(leave_one_out(**stored))
    assert len(all_signals) == F
    for f, signals in enumerate(all_signals):
        np.testing.assert_array_equal(signals.logp, stored["logp"][f])
        np.testing.assert_array_equal(signals.references.logp, rolled(stored["logp"], f))
        np.testing.assert_array_equal(signals.references.included, rolled(stored["coins"], f))
        np.testing.assert_array_equal(signals.references.population_logp, rolled(stored["population_logp"], f))
    # Views of one ring, not a copy a target.
    assert np.shares_memory(all_signals[0].references.logp, all_signals[1].references.logp)


def test_a_target_learns_nothing_of_its_own_coins(stored):
    before = list(leave_one_out(**stored))
    for f in range(F):
        coins = stored["coins"].copy()
        coins[f] = ~coins[f]
        after = list(leave_one_out(**{**stored, "coins": coins}))[f]
        np.testing.assert_array_equal(after.references.included, before[f].references.included)
        np.testing.assert_array_equal(score_candidates(Ratio(), after), score_candidates(Ratio(), before[f]))


def test_the_other_clients_join_as_out_references(stored):
    for f, signals in enumerate(leave_one_out(**stored)):
        assert signals.references.included.shape == (F - 1 + P, N)
        assert not signals.references.included[F - 1 :].any()
        np.testing.assert_array_equal(signals.references.logp[F - 1 :], stored["peers_logp"][f])
        np.testing.assert_array_equal(signals.references.population_logp[F - 1 :], stored["peers_population_logp"][f])
        assert np.isfinite(score_candidates(CoopLira(), signals)).all()


def test_masks_belong_to_the_federation(stored):
    seen = np.random.default_rng(1).random((F, ROUNDS, N)) < 0.8
    clean = np.random.default_rng(2).random((F, ROUNDS, N)) < 0.8
    for f, signals in enumerate(leave_one_out(**stored, seen=seen, clean=clean)):
        np.testing.assert_array_equal(signals.seen, seen[f])
        np.testing.assert_array_equal(signals.clean, clean[f])


def test_a_bank_of_one_has_no_references(stored):
    with pytest.raises(ValueError, match="two or more"):
        next(leave_one_out(stored["logp"][:1], stored["coins"][:1], stored["labels"]))
    with pytest.raises(ValueError, match="population"):
        next(leave_one_out(**{**stored, "peers_population_logp": None}))


def test_all_means_at_once_equal_the_loop(stored):
    values, mask = np.random.default_rng(3).random((F, N)), ~stored["coins"]
    mean, count = means_without_self(values, mask)
    for f in range(F):
        expected, number = masked_mean(np.delete(values, f, axis=0), np.delete(mask, f, axis=0))
        np.testing.assert_allclose(mean[f], expected, atol=4e-16)
        np.testing.assert_array_equal(count[f], number)


def test_all_variances_at_once_equal_the_loop_even_far_from_zero(stored):
    values = np.random.default_rng(4).normal(size=(F, N)) + 1e6 * np.arange(N)
    found = variances_without_self(values, stored["coins"])
    for f in range(F):
        rest, mask = np.delete(values, f, axis=0), np.delete(stored["coins"], f, axis=0)
        mean, count = masked_mean(rest, mask)
        assert found[f] == pytest.approx(pooled_variance(squared_residuals(rest, mask, mean), count), rel=1e-6)
    assert np.isnan(variances_without_self(values[:2], np.ones((2, N), dtype=bool))).all()


def test_all_ratios_at_once_equal_the_statistic(stored):
    margins = phi(stored["logp"][:, 0], stored["labels"])
    ratios, count = ratios_without_self(margins, stored["coins"])
    known = 0
    for f, signals in enumerate(leave_one_out(stored["logp"][:, :1], stored["coins"], stored["labels"])):
        has = count[f] > 0
        known += int(has.sum())
        np.testing.assert_allclose(ratios[f, has], Ratio().score(signals)[has], atol=1e-14)
        assert np.isnan(ratios[f, ~has]).all()
    assert known > 0.9 * F * N
