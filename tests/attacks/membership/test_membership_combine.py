"""One score a candidate from several rounds: which rounds count, and how they are put together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from fedprivacy.adversary.threat import References, Signals
from fedprivacy.attacks.membership.combine import combine, score_candidates, score_rounds, usable_rounds
from fedprivacy.attacks.membership.evidence import at_round, out_counts
from fedprivacy.attacks.membership.logits import log_softmax
from fedprivacy.attacks.membership.statistics import applicable
from fedprivacy.attacks.membership.statistics.loss import Loss
from fedprivacy.attacks.membership.statistics.ratio import Ratio

NAN = np.nan


def make(seed: int = 0, rounds: int = 3, n: int = 12, references: int = 4) -> Signals:
    rng = np.random.default_rng(seed)

    def logp(*shape: int):
        return log_softmax(rng.normal(size=(*shape, 3)))

    seen = np.ones((rounds, n), dtype=bool)
    theirs = References(logp(references, rounds, n), rng.random((references, n)) < 0.5, logp(references, rounds, 7))
    return Signals(logp(rounds, n), seen, seen, rng.integers(0, 3, n), theirs, logp(rounds, 7), rng.integers(0, 3, 7))


def test_rules_by_hand():
    scores = np.array([[1.0, 5.0, NAN, NAN], [3.0, NAN, NAN, 2.0], [2.0, NAN, NAN, NAN]])
    np.testing.assert_array_equal(combine(scores, "last"), [2.0, 5.0, NAN, 2.0])
    np.testing.assert_array_equal(combine(scores, "mean"), [2.0, 5.0, NAN, 2.0])
    np.testing.assert_array_equal(combine(scores, "max"), [3.0, 5.0, NAN, 2.0])
    np.testing.assert_array_equal(combine(np.array([[-np.inf], [NAN]]), "last"), [-np.inf])
    with pytest.raises(ValueError, match="no rule"):
        combine(scores, "median")


def test_contaminated_rounds_count_only_when_asked():
    signals = make()
    clean = np.ones((3, 12), dtype=bool)
    clean[2, :6] = False
    signals = dataclasses.replace(signals, clean=clean)
    np.testing.assert_array_equal(usable_rounds(signals), clean)
    assert usable_rounds(signals, clean_only=False).all()
    rounds = score_rounds(Loss(), signals, clean_only=False)
    np.testing.assert_array_equal(score_candidates(Loss(), signals, "last")[:6], rounds[1, :6])
    np.testing.assert_array_equal(score_candidates(Loss(), signals, "last")[6:], rounds[2, 6:])
    np.testing.assert_array_equal(score_candidates(Loss(), signals, "last", clean_only=False), rounds[2])


def test_candidates_planted_in_different_rounds_are_scored_among_their_own():
    signals = make(n=12)
    seen = np.zeros((3, 12), dtype=bool)
    for round in range(3):
        seen[round, 4 * round : 4 * round + 4] = True
    masked = np.where(seen[:, :, None], signals.logp, NAN)
    planted = dataclasses.replace(signals, logp=masked, seen=seen)
    found = score_candidates(Ratio(), planted)
    for round in range(3):
        direct = Ratio().score(at_round(signals, round, seen[round]))
        np.testing.assert_array_equal(found[4 * round : 4 * round + 4], direct)


def test_every_statistic_scores_all_that_was_seen_and_nothing_else():
    signals = make(1, n=20)
    seen = np.random.default_rng(2).random((3, 20)) < 0.6
    seen[:, 0], seen[:, 1] = False, True
    gaps = dataclasses.replace(signals, logp=np.where(seen[:, :, None], signals.logp, NAN), seen=seen)
    names = []
    for statistic in applicable(gaps):
        score = score_candidates(statistic, gaps)
        np.testing.assert_array_equal(np.isnan(score), ~seen.any(axis=0), err_msg=statistic.name)
        names.append(statistic.name)
    assert {"loss", "ratio", "rmia", "lira-online", "population", "trajectory"} <= set(names)


@dataclass(frozen=True)
class Silent:
    name: ClassVar[str] = "silent"
    needs: ClassVar[frozenset[str]] = frozenset()

    def score(self, signals: Signals) -> np.ndarray:
        return np.full(signals.logp.shape[1], NAN)


def test_a_statistic_may_not_answer_nothing_for_a_candidate_it_saw():
    with pytest.raises(ValueError, match="silent gave no score"):
        score_rounds(Silent(), make())


def test_a_round_is_restricted_to_candidates_and_to_the_population_seen_in_it():
    signals = make()
    population = signals.population_logp.copy()
    population[1, 2] = NAN
    one = at_round(dataclasses.replace(signals, population_logp=population), 1, np.arange(12) < 5)
    assert one.logp.shape == (1, 5, 3) and one.references.logp.shape == (4, 1, 5, 3)
    assert one.population_logp.shape == (1, 6, 3) and one.population_labels.shape == (6,)
    assert one.references.population_logp.shape == (4, 1, 6, 3)
    np.testing.assert_array_equal(one.references.included, signals.references.included[:, :5])


def test_out_counts_leave_out_references_not_observed():
    signals = make(references=2)
    logp = signals.references.logp.copy()
    logp[0, 1, 3] = NAN
    theirs = References(logp, np.zeros((2, 12), dtype=bool))
    np.testing.assert_array_equal(out_counts(theirs), np.full(12, 2))
    np.testing.assert_array_equal(out_counts(theirs, 0), np.full(12, 2))
    np.testing.assert_array_equal(out_counts(theirs, 1), np.where(np.arange(12) == 3, 1, 2))
