"""What must hold for any signals: resolution at extreme logits, invariances, and agreement with brute force."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedprivacy.adversary.threat import References, Signals
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.evidence import evidence, population_evidence
from fedprivacy.attacks.membership.logits import log_softmax, phi
from fedprivacy.attacks.membership.statistics import STATISTICS
from fedprivacy.attacks.membership.statistics.lira_offline import LiraOffline
from fedprivacy.attacks.membership.statistics.lira_online import LiraOnline
from fedprivacy.attacks.membership.statistics.population import Population
from fedprivacy.attacks.membership.statistics.ratio import Ratio, evidence_log_ratio
from fedprivacy.attacks.membership.statistics.rmia import Rmia, beaten, lexicographic
from fedprivacy.metrics.roc import auc, roc_curve


def scaled(scale: float, seed: int = 0, n: int = 400, references: int = 6) -> Signals:
    """Random logits of ten classes, multiplied by ``scale``."""
    rng = np.random.default_rng(seed)
    seen, labels = np.ones((1, n), dtype=bool), rng.integers(0, 10, n)

    def logp(*shape: int):
        return log_softmax(scale * rng.normal(0, 3, (*shape, 10)))

    included = rng.random((references, n)) < 0.5
    included[-2:] = False
    theirs = References(logp(references, 1, n), included, logp(references, 1, 200))
    scores = scale * rng.normal(size=(1, n))
    return Signals(logp(1, n), seen, seen, labels, theirs, logp(1, 200), rng.integers(0, 10, 200), scores=scores)


@pytest.mark.parametrize("name", sorted(set(STATISTICS) - {"correct", "population"}))
def test_ten_times_the_logits_leave_all_scores_finite_and_distinct(name: str):
    score = score_candidates(STATISTICS[name](), scaled(10.0))
    assert np.isfinite(score).all()
    assert len(np.unique(score)) == len(score)


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_absurd_logits_leave_all_scores_finite(name: str):
    assert np.isfinite(score_candidates(STATISTICS[name](), scaled(1e4))).all()


def test_float32_probabilities_would_not_have_kept_them_apart():
    signals = scaled(10.0)
    p = np.exp(signals.logp[0, np.arange(400), signals.labels]).astype(np.float32)
    assert ((1 - p) == 0).mean() > 0.02


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_scores_follow_the_candidates_when_they_are_reordered(name: str):
    signals = scaled(1.0, n=60)
    order = np.random.default_rng(1).permutation(60)
    references = dataclasses.replace(
        signals.references, logp=signals.references.logp[:, :, order], included=signals.references.included[:, order]
    )
    moved = dataclasses.replace(
        signals,
        logp=signals.logp[:, order],
        labels=signals.labels[order],
        references=references,
        scores=signals.scores[:, order],
    )
    statistic = STATISTICS[name]()
    expected = score_candidates(statistic, signals)[order]
    np.testing.assert_allclose(score_candidates(statistic, moved), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted(STATISTICS))
def test_the_order_of_references_does_not_matter_and_inputs_stay_as_they_were(name: str):
    signals = scaled(1.0, n=60)
    before = [signals.logp.copy(), signals.references.logp.copy(), signals.references.included.copy()]
    statistic = STATISTICS[name]()
    expected = score_candidates(statistic, signals)
    theirs = signals.references
    flipped = References(theirs.logp[::-1], theirs.included[::-1], theirs.population_logp[::-1])
    found = score_candidates(statistic, dataclasses.replace(signals, references=flipped))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    for old, new in zip(before, [signals.logp, theirs.logp, theirs.included], strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "statistic",
    [
        LiraOffline(variance="fixed"),
        LiraOffline(variance="fixed", sides="two"),
        LiraOnline(variance="fixed"),
        LiraOnline(variance="per-candidate"),
        STATISTICS["bavaria"](),
    ],
    ids=repr,
)
def test_a_constant_a_candidate_changes_nothing(statistic, from_margins):
    """The spread is within a candidate: how hard a record is has no part in it."""
    rng = np.random.default_rng(3)
    target, references = rng.normal(size=40), rng.normal(size=(8, 40))
    included = rng.random((8, 40)) < 0.5
    included[:2], included[2:4] = True, False
    shift = rng.normal(0, 20, 40)
    plain = statistic.score(from_margins(target, references, included))
    moved = statistic.score(from_margins(target + shift, references + shift, included))
    np.testing.assert_allclose(moved, plain, rtol=1e-8, atol=1e-8)


def test_far_below_the_out_mean_scores_lowest_and_only_two_sides_say_member(from_margins):
    rng = np.random.default_rng(4)
    target = np.append(rng.normal(size=30), -50.0)
    signals = from_margins(target, rng.normal(size=(8, 31)), np.zeros((8, 31), dtype=bool))
    for name in ("lira-offline", "coop-lira", "fedmia", "ratio", "calibrated", "base-offline", "loss"):
        assert STATISTICS[name]().score(signals).argmin() == 30, name
    assert LiraOffline(sides="two").score(signals).argmax() == 30


@given(
    own=st.lists(st.integers(-4, 4), min_size=1, max_size=30),
    others=st.lists(st.integers(-4, 4), min_size=1, max_size=20),
    gamma=st.sampled_from([1.0, 2.0, float(np.exp(1))]),
)
@settings(deadline=None, max_examples=60)
def test_the_sort_equals_the_matrix_and_realises_the_lexicographic_order(own, others, gamma):
    x, z = np.array(own, dtype=np.float64), np.array(others, dtype=np.float64)
    matrix = (z[None, :] <= x[:, None] - np.log(gamma)).sum(axis=1)
    count = beaten(x, z, gamma)
    np.testing.assert_array_equal(count, matrix)
    score = lexicographic(count, x, len(z))
    pairs = list(zip(count.tolist(), x.tolist(), strict=True))
    for i, first in enumerate(pairs):
        for j, second in enumerate(pairs):
            assert (score[i] < score[j]) == (first < second)
    np.testing.assert_array_equal(np.floor(score * len(z) + 1e-12), count)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_rmia_has_the_roc_of_the_ratio_within_one_target(gamma: float):
    signals = scaled(2.0, seed=5)
    coins = np.random.default_rng(6).random(400) < 0.5
    ratio, rmia = Ratio().score(signals), Rmia(gamma=gamma).score(signals)
    first, second = roc_curve(ratio[coins], ratio[~coins]), roc_curve(rmia[coins], rmia[~coins])
    np.testing.assert_array_equal(first.fpr, second.fpr)
    np.testing.assert_array_equal(first.tpr, second.tpr)
    own = evidence_log_ratio(evidence(signals), 0.3)
    others = evidence_log_ratio(population_evidence(signals), 0.3)[0]
    # Without the tie-break it would not: whole groups share one count.
    assert len(np.unique(beaten(own, others, gamma))) < len(np.unique(own))


def heterogeneous(seed: int, references: int, n: int = 3000):
    """Margins N(mu_i, 1) without and N(mu_i + 1, 1) with the record, mu_i spread widely over candidates."""
    rng = np.random.default_rng(seed)
    mu, coins = rng.normal(0, 3, n), rng.random(n) < 0.5
    included = rng.random((references, n)) < 0.5
    included[0], included[1], included[2:4], included[4:6] = True, False, True, False
    return mu + coins + rng.normal(size=n), mu + included + rng.normal(size=(references, n)), included, coins


def test_the_published_order_at_few_references(from_margins):
    """Fixed variance beats a candidate's own, one side beats two, and any reference beats none (LiRA's tables)."""
    target, references, included, coins = heterogeneous(7, 8)
    signals = from_margins(target, references, included)

    def area(statistic) -> float:
        score = statistic.score(signals)
        return auc(score[coins], score[~coins])

    online, offline = LiraOnline(variance="fixed"), LiraOffline(variance="fixed")
    assert area(online) > area(LiraOnline(variance="per-candidate")) + 0.01
    assert area(offline) > area(LiraOffline(variance="fixed", sides="two")) + 0.1
    assert area(offline) > area(STATISTICS["loss"]()) + 0.05
    assert area(STATISTICS["bavaria"]()) > area(LiraOnline(variance="per-candidate")) + 0.01


def test_auto_means_fixed_below_64_references_and_per_candidate_from_there_on(from_margins):
    for references, same in ((63, "fixed"), (64, "per-candidate")):
        target, values, included, _ = heterogeneous(8, references, n=30)
        signals = from_margins(target, values, included)
        for statistic in (LiraOffline, LiraOnline):
            np.testing.assert_array_equal(statistic().score(signals), statistic(variance=same).score(signals))


@given(st.lists(st.integers(-2, 2), min_size=1, max_size=30), st.lists(st.integers(-2, 2), min_size=1), st.randoms())
def test_population_ranks_within_the_class_whatever_ties(own: list[int], theirs: list[int], draw) -> None:
    """Against a count of all pairs; a class without a population record of its own is ranked among all."""
    labels = np.array([draw.randrange(4) for _ in own])
    known = np.array([draw.randrange(3) for _ in theirs])

    def logp(margins: list[int], classes: np.ndarray) -> np.ndarray:
        z = np.zeros((1, len(margins), 4))
        z[0, np.arange(len(margins)), classes] = margins
        return log_softmax(z)

    seen = np.ones((1, len(own)), dtype=bool)
    signals = Signals(logp(own, labels), seen, seen, labels, None, logp(theirs, known), known)
    mine, others = phi(logp(own, labels)[0], labels), phi(logp(theirs, known)[0], known)
    for score, margin, label in zip(Population().score(signals), mine, labels, strict=True):
        same = others[known == label] if (known == label).any() else others
        assert score == ((same < margin).sum() + 0.5 * (same == margin).sum()) / len(same)
