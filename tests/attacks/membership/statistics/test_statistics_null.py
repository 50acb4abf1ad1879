"""At chance on pure noise, near perfect on a planted leak: every statistic, end to end from a leave-one-out bank."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.evidence import out_counts
from fedprivacy.attacks.membership.leave_one_out import leave_one_out
from fedprivacy.attacks.membership.logits import log_softmax
from fedprivacy.attacks.membership.statistics import STATISTICS
from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.metrics.intervals import corrected_level
from fedprivacy.metrics.roc import auc, tpr_at_fpr

DRAWS, LEVEL = 200, 0.95


@pytest.fixture(scope="module")
def noise_scores():
    """Scores and coins of all statistics on pure-noise banks, drawn once."""

    @cache
    def scores(build):
        found = []
        for seed in range(DRAWS):
            signals, coins = build(np.random.default_rng([11, seed]), 0.0, 120, 6, 2)
            found.append(({name: score_candidates(STATISTICS[name](), signals) for name in STATISTICS}, coins))
        return found

    return scores


def excludes_chance(score, coins, level: float) -> bool:
    interval = auc_interval(score[coins], score[~coins], level)
    return not interval.low <= 0.5 <= interval.high


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_on_noise_the_interval_misses_chance_at_its_stated_rate(name: str, noise_scores, bank):
    misses = sum(excludes_chance(scores[name], coins, LEVEL) for scores, coins in noise_scores(bank))
    assert binomtest(misses, DRAWS, 1 - LEVEL).pvalue > 1e-4, f"{misses} of {DRAWS}"


def test_the_best_of_all_statistics_stays_within_the_corrected_band(noise_scores, bank):
    level = corrected_level(LEVEL, len(STATISTICS))
    alarms, uncorrected = 0, 0
    for scores, coins in noise_scores(bank):
        alarms += any(excludes_chance(score, coins, level) for score in scores.values())
        uncorrected += any(excludes_chance(score, coins, LEVEL) for score in scores.values())
    assert alarms <= binom.ppf(0.999, DRAWS, 1 - LEVEL)
    assert uncorrected > binom.ppf(0.999, DRAWS, 1 - LEVEL)


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_a_planted_leak_is_found(name: str, bank):
    # A population of M_c records of a class cannot rank finer than 1 / M_c, and BASE online needs every candidate IN
    # some reference: hence the sizes.
    signals, coins = bank(np.random.default_rng(12), 14.0, 4000, 16, 2, 12_000)
    score = score_candidates(STATISTICS[name](), signals)
    members, others = score[coins], score[~coins]
    assert auc(members, others) > 0.99
    assert tpr_at_fpr(members, others, 0.001).tpr > 0.9


def out_count_misses(coins_of) -> int:
    """How often the number of OUT references alone separates members from others, on banks of pure noise."""
    misses = 0
    for seed in range(DRAWS):
        rng = np.random.default_rng([13, seed])
        coins = coins_of(rng)
        logp = log_softmax(rng.normal(size=(*coins.shape[:1], 1, coins.shape[1], 2)))
        signals = next(leave_one_out(logp, coins, np.zeros(coins.shape[1], dtype=np.int64)))
        misses += excludes_chance(out_counts(signals.references).astype(np.float64), coins[0], LEVEL)
    return misses


def test_the_number_of_out_references_says_nothing_under_independent_coins():
    misses = out_count_misses(lambda rng: rng.random((8, 100)) < 0.5)
    assert binomtest(misses, DRAWS, 1 - LEVEL).pvalue > 1e-4


def test_the_number_of_out_references_says_all_under_balanced_coins():
    """Why coins are independent: with every record in exactly half of the models, the count is the answer."""
    half = np.arange(8)[:, None] < 4

    def balanced(rng):
        return rng.permuted(np.repeat(half, 100, axis=1), axis=0)

    assert out_count_misses(balanced) == DRAWS
    coins = balanced(np.random.default_rng(0))
    counts = (~coins[1:]).sum(axis=0)
    assert auc(counts[coins[0]], counts[~coins[0]]) == 1.0
