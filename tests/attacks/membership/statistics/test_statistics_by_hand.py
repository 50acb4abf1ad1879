"""Every statistic on examples small enough to compute by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import logit

from fedprivacy.adversary.threat import References, Signals
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.statistics import STATISTICS, applicable, headline
from fedprivacy.attacks.membership.statistics.base import BaseOffline, BaseOnline
from fedprivacy.attacks.membership.statistics.bavaria import Bavaria
from fedprivacy.attacks.membership.statistics.calibrated import Calibrated
from fedprivacy.attacks.membership.statistics.correct import Correct
from fedprivacy.attacks.membership.statistics.labelfree import Confidence, Entropy
from fedprivacy.attacks.membership.statistics.lira_offline import CoopLira, DistilLira, FedMia, LiraOffline
from fedprivacy.attacks.membership.statistics.lira_online import LiraOnline
from fedprivacy.attacks.membership.statistics.loss import Loss
from fedprivacy.attacks.membership.statistics.mentr import ModifiedEntropy
from fedprivacy.attacks.membership.statistics.population import Population
from fedprivacy.attacks.membership.statistics.ratio import Ratio
from fedprivacy.attacks.membership.statistics.rmia import Rmia

THREE = np.log(np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]))


@pytest.fixture
def alone() -> Signals:
    """Two candidates, three classes, no references."""
    seen = np.ones((1, 2), dtype=bool)
    return Signals(THREE[None], seen, seen, np.array([0, 1]))


@pytest.fixture
def shadowed(from_margins):
    """Two candidates; p_y = .8 and .6; three references with p_y = .5, .3, .9 and .2, .4, .6; OUT: two of them each."""
    reference = logit(np.array([[0.5, 0.2], [0.3, 0.4], [0.9, 0.6]]))
    included = np.array([[False, True], [False, False], [True, False]])
    return from_margins(logit(np.array([0.8, 0.6])), reference, included)


def test_statistics_without_references(alone: Signals):
    np.testing.assert_allclose(Loss().score(alone), [math.log(0.7 / 0.3), math.log(0.25 / 0.75)], rtol=1e-12)
    np.testing.assert_allclose(Confidence().score(alone), [math.log(0.7 / 0.3), 0.0], atol=1e-12)
    p = np.exp(THREE)
    np.testing.assert_allclose(Entropy().score(alone), -stats.entropy(p, axis=1), rtol=1e-12)
    first = 0.3 * math.log(0.7) + 0.2 * math.log(0.8) + 0.1 * math.log(0.9)
    second = 0.75 * math.log(0.25) + 0.25 * math.log(0.75) + 0.5 * math.log(0.5)
    np.testing.assert_allclose(ModifiedEntropy().score(alone), [first, second], rtol=1e-12)
    np.testing.assert_array_equal(Correct().score(alone), [1.0, 0.0])


def test_population_is_the_mid_rank_within_the_class():
    labels, known = np.array([0, 0, 1]), np.array([0, 0, 0, 0])
    logp = np.log(np.array([[0.6, 0.4], [0.9, 0.1], [0.5, 0.5]]))
    z = np.log(np.array([[0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2]]))
    seen = np.ones((1, 3), dtype=bool)
    signals = Signals(logp[None], seen, seen, labels, None, z[None], known)
    # Class 1 has no population record of its own, so all four count: phi = 0 ties with the first.
    np.testing.assert_allclose(Population().score(signals), [1.5 / 4, 1.0, 0.5 / 4])


def test_calibrated_and_ratio(shadowed: Signals):
    expected = [math.log(0.8) - math.log(0.5 * 0.3) / 2, math.log(0.6) - math.log(0.4 * 0.6) / 2]
    np.testing.assert_allclose(Calibrated().score(shadowed), expected, rtol=1e-12)
    pbar = np.array([0.4, 0.5])
    ratio = np.array([0.8, 0.6]) / (0.5 * (1.3 * pbar + 0.7))
    np.testing.assert_allclose(Ratio().score(shadowed), np.log(ratio), rtol=1e-12)
    ratio = np.array([0.8, 0.6]) / (0.5 * pbar + 0.5)
    np.testing.assert_allclose(Ratio(a=0.0).score(shadowed), np.log(ratio), rtol=1e-12)


def test_base(shadowed: Signals):
    def softened(p):
        return np.sqrt(p) / (np.sqrt(p) + np.sqrt(1 - p))

    own = np.log(softened(np.array([0.8, 0.6])))
    reference = softened(np.array([[0.5, 0.2], [0.3, 0.4], [0.9, 0.6]]))
    np.testing.assert_allclose(BaseOnline().score(shadowed), own - np.log(reference.mean(0)), rtol=1e-12)
    out = np.array([reference[:2, 0].mean(), reference[1:, 1].mean()])
    np.testing.assert_allclose(BaseOffline().score(shadowed), own - 0.33 * np.log(out), rtol=1e-12)


def test_rmia_counts_the_population_it_beats_twofold(from_margins):
    # Without any pull of the references (a = 0, all p = .5) the ratio is p / .75.
    population, target = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.61, 0.79, 0.15])
    half = np.zeros((2, 3)), np.zeros((2, 3), dtype=bool)
    signals = from_margins(
        logit(target), *half, population=logit(population), reference_population=np.zeros((2, len(population)))
    )
    score = Rmia(gamma=2.0, a=0.0).score(signals)
    np.testing.assert_array_equal(np.floor(4 * score), [3, 3, 0])
    assert score[1] > score[0] > score[2]


def test_lira_offline(from_margins):
    references = np.array([[1.0, 0.0, 5.0], [3.0, 4.0, 9.0], [100.0, 2.0, 7.0]])
    included = np.array([[False, False, True], [False, False, False], [True, False, False]])
    signals = from_margins(np.array([4.0, -1.0, 8.5]), references, included)
    # Residuals -1 1 | -2 2 0 | 1 -1, so (2 + 8 + 2) / (1 + 2 + 1).
    deviation = math.sqrt(12 / 4)
    z = np.array([2.0, -3.0, 0.5]) / deviation
    np.testing.assert_allclose(LiraOffline().score(signals), z, rtol=1e-12)
    two = -stats.norm.logpdf(z * deviation, scale=deviation)
    found = LiraOffline(sides="two").score(signals)
    np.testing.assert_allclose(found - found[0], two - two[0], rtol=1e-9)
    own = LiraOffline(variance="per-candidate").score(signals)
    np.testing.assert_allclose(own, np.array([2.0, -3.0, 0.5]) / np.sqrt([2.0, 4.0, 2.0]), rtol=1e-12)


def test_lira_online_and_bavaria_against_scipy(from_margins):
    rng = np.random.default_rng(0)
    references, target = rng.normal(size=(9, 5)), rng.normal(size=5)
    included = np.arange(45).reshape(9, 5) % 2 == 0
    signals = from_margins(target, references, included)
    groups = {side: [references[included[:, i] == side, i] for i in range(5)] for side in (True, False)}
    mean = {side: np.array([g.mean() for g in groups[side]]) for side in groups}
    squares = {side: np.array([((g - g.mean()) ** 2).sum() for g in groups[side]]) for side in groups}
    count = {side: np.array([len(g) for g in groups[side]]) for side in groups}
    fixed = {side: squares[side].sum() / (count[side] - 1).sum() for side in groups}

    def normal(side, variance):
        return stats.norm.logpdf(target, mean[side], np.sqrt(variance))

    expected = normal(True, fixed[True]) - normal(False, fixed[False])
    np.testing.assert_allclose(LiraOnline().score(signals), expected, rtol=1e-9)
    own = {side: squares[side] / (count[side] - 1) for side in groups}
    expected = normal(True, own[True]) - normal(False, own[False])
    np.testing.assert_allclose(LiraOnline(variance="per-candidate").score(signals), expected, rtol=1e-9)

    def student(side):
        v = 4 + count[side] - 1
        q = np.sqrt((1 + 1 / count[side]) * (4 * fixed[side] + squares[side]) / v)
        return stats.t.logpdf(target, v, mean[side], q)

    np.testing.assert_allclose(Bavaria().score(signals), student(True) - student(False), rtol=1e-9)


def test_coop_takes_only_references_that_never_trained_on_a_candidate(from_margins):
    references = np.array([[1.0, 0.0], [3.0, 4.0], [50.0, 60.0]])
    included = np.array([[False, False], [False, False], [True, False]])
    signals = from_margins(np.array([4.0, 1.0]), references, included)
    # Means 2 and 2; residuals -1 1 -2 2 over 2 degrees of freedom.
    expected = np.array([2.0, -1.0]) / math.sqrt(5)
    for statistic in (CoopLira(), DistilLira(), FedMia()):
        np.testing.assert_allclose(statistic.score(signals), expected, rtol=1e-12)
    trained = dataclasses.replace(signals.references, included=np.ones((3, 2), dtype=bool))
    with pytest.raises(ValueError, match="trained on no candidate"):
        CoopLira().score(dataclasses.replace(signals, references=trained))


def test_fedmia_is_the_mean_of_z_over_the_usable_rounds(from_margins):
    rng = np.random.default_rng(1)
    rounds = [from_margins(rng.normal(size=3), rng.normal(size=(4, 3)), np.zeros((4, 3), dtype=bool)) for _ in range(3)]
    clean = np.array([[True, True, True], [True, True, False], [True, False, False]])
    together = Signals(
        np.concatenate([one.logp for one in rounds]),
        np.ones((3, 3), dtype=bool),
        clean,
        rounds[0].labels,
        References(np.concatenate([one.references.logp for one in rounds], axis=1), rounds[0].references.included),
    )
    z = LiraOffline().score(rounds[0])
    found = score_candidates(FedMia(), together, rule="last")
    assert found[2] == pytest.approx(z[2])
    assert not np.isclose(found[0], LiraOffline().score(rounds[2])[0])


def test_a_candidate_without_out_reference_takes_the_class_mean(from_margins):
    references = np.array([[1.0, 3.0, -7.0, 9.0], [3.0, 5.0, -5.0, 9.0]])
    included = np.array([[False, False, False, True], [False, False, False, True]])
    signals = from_margins(np.array([0.0, 0.0, 0.0, 4.0]), references, included, labels=np.array([1, 1, 0, 1]))
    # Means 2 and 4 in class 1, so 3 stands in; residuals are +-1 in three candidates, so s^2 = 6 / 3.
    np.testing.assert_allclose(LiraOffline().score(signals), np.array([-2.0, -4.0, 6.0, 1.0]) / math.sqrt(2))
    assert np.isfinite(Ratio().score(signals)).all()
    nothing = dataclasses.replace(signals.references, included=np.ones((2, 4), dtype=bool))
    for statistic in (Ratio(), Calibrated(), LiraOffline(), BaseOffline()):
        with pytest.raises(ValueError, match="no candidate has a reference"):
            statistic.score(dataclasses.replace(signals, references=nothing))


def test_one_reference_still_ranks_by_the_difference(from_margins):
    signals = from_margins(np.array([1.0, 5.0]), np.array([[0.0, 7.0]]), np.zeros((1, 2), dtype=bool))
    np.testing.assert_allclose(LiraOffline().score(signals), [1.0, -2.0])


def test_a_reference_that_was_not_observed_is_left_out(from_margins):
    references = np.array([[1.0, 2.0], [3.0, 2.5], [np.nan, 4.0]])
    with_gap = from_margins(np.array([1.0, 2.0]), references, np.zeros((3, 2), dtype=bool))
    found = Calibrated().score(with_gap)
    without = from_margins(np.array([1.0]), references[:2, :1], np.zeros((2, 1), dtype=bool))
    assert found[0] == pytest.approx(Calibrated().score(without)[0])


def test_statistics_refuse_what_they_cannot_score(alone: Signals, shadowed: Signals):
    with pytest.raises(ValueError, match="needs references"):
        Ratio().score(alone)
    with pytest.raises(ValueError, match="population"):
        Population().score(alone)
    with pytest.raises(ValueError, match="predictions on the population"):
        population = {"population_logp": THREE[None, :, :2], "population_labels": np.array([0, 1])}
        Rmia().score(dataclasses.replace(shadowed, **population))
    unseen = dataclasses.replace(alone, logp=np.full_like(alone.logp, np.nan))
    with pytest.raises(ValueError, match="not observed"):
        Loss().score(unseen)
    with pytest.raises(ValueError, match="one round"):
        Loss().score(dataclasses.replace(alone, logp=np.repeat(alone.logp, 2, axis=0)))
    for wrong in (lambda: Ratio(a=1.0), lambda: Rmia(gamma=0.5)):
        with pytest.raises(ValueError, match="not "):
            wrong()


def test_applicable_and_headline(alone: Signals, shadowed: Signals):
    without = ["loss", "confidence", "entropy", "mentr", "correct"]
    assert [statistic.name for statistic in applicable(alone)] == without
    assert headline(alone) == "loss"
    names = [statistic.name for statistic in applicable(shadowed)]
    assert names == [
        *without,
        *("calibrated", "ratio", "base-online", "base-offline", "lira-online", "lira-offline"),
        # The second reference happens to have trained on neither. One round has no mean and no trajectory.
        *("coop-lira", "bavaria"),
    ]
    assert headline(shadowed) == "ratio"
    others = dataclasses.replace(shadowed.references, included=np.zeros((3, 2), dtype=bool))
    peers = dataclasses.replace(shadowed, references=others)
    names = [statistic.name for statistic in applicable(peers)]
    assert {"coop-lira", "ratio"} <= set(names) and "fedmia" not in names
    assert not {"distil-lira", "lira-online", "rmia"} & set(names)
    assert [statistic.name for statistic in applicable(peers, surrogates=True)] == [*without, "distil-lira"]
    hard = dataclasses.replace(shadowed, floor={"hard-label": 2})
    assert [statistic.name for statistic in applicable(hard)] == ["correct"]
    assert headline(hard) == "correct"
    scalar = dataclasses.replace(shadowed, floor={"uniform-rest": 2, "zero": 0})
    assert {statistic.name for statistic in applicable(scalar)} & {"entropy", "mentr", "correct"} == set()


def test_the_table_names_every_statistic_by_its_own_name():
    assert all(name == statistic.name for name, statistic in STATISTICS.items())
    known = {"references", "in-references", "population", "never-trained", "surrogates", "scores", "several-rounds"}
    assert all(statistic.needs <= known for statistic in STATISTICS.values())
