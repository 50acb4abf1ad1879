"""ROC, AUC and TPR at FPR against scikit-learn, and on the score vectors that fool a careless implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from fedprivacy.metrics import auc, auc_chance, resolution, roc_curve, tpr_at_fpr, tpr_chance

tied = arrays(np.float64, st.integers(1, 40), elements=st.integers(-3, 3).map(float))


@given(tied, tied)
def test_equals_scikit_learn_on_tied_scores(members: np.ndarray, non_members: np.ndarray) -> None:
    truth = np.r_[np.ones(members.size), np.zeros(non_members.size)]
    scores = np.r_[members, non_members]
    fpr, tpr, _ = sklearn_roc_curve(truth, scores, drop_intermediate=False)
    curve = roc_curve(members, non_members)
    np.testing.assert_allclose(curve.fpr, fpr, atol=1e-15)
    np.testing.assert_allclose(curve.tpr, tpr, atol=1e-15)
    assert auc(members, non_members) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)


def test_equals_scikit_learn_on_many_continuous_scores() -> None:
    rng = np.random.default_rng(0)
    members, non_members = rng.normal(0.4, 1, 3000), rng.normal(size=2500)
    truth = np.r_[np.ones(3000), np.zeros(2500)]
    expected = roc_auc_score(truth, np.r_[members, non_members])
    assert auc(members, non_members) == pytest.approx(expected, abs=1e-12)


@given(tied, tied)
def test_curve_is_the_rule_that_it_states(members: np.ndarray, non_members: np.ndarray) -> None:
    curve = roc_curve(members, non_members)
    for i, threshold in enumerate(curve.threshold):
        assert curve.true_positives[i] == (members > threshold).sum()
        assert curve.false_positives[i] == (non_members > threshold).sum()
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    area = np.trapezoid(curve.tpr, curve.fpr)
    assert auc(members, non_members) == pytest.approx(area, abs=1e-12)


@given(tied, tied, st.sampled_from([0.1, 0.25, 0.5]))
def test_only_the_order_of_scores_counts(members: np.ndarray, non_members: np.ndarray, fpr: float) -> None:
    squeezed = [np.exp(values / 7) - 5 for values in (members, non_members)]
    assert auc(*squeezed) == auc(members, non_members)
    first, second = tpr_at_fpr(members, non_members, fpr), tpr_at_fpr(*squeezed, fpr)
    assert (first.true_positives, first.false_positives) == (second.true_positives, second.false_positives)
    assert auc(members, non_members) + auc(non_members, members) == pytest.approx(1)


@given(tied, tied, st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9]))
def test_tpr_is_the_best_point_within_the_budget(members: np.ndarray, non_members: np.ndarray, fpr: float) -> None:
    curve, point = roc_curve(members, non_members), tpr_at_fpr(members, non_members, fpr)
    within = curve.false_positives <= fpr * non_members.size + 1e-9
    assert point.true_positives == curve.true_positives[within].max()
    assert point.true_positives == (members > point.threshold).sum()
    assert point.false_positives == (non_members > point.threshold).sum() <= fpr * non_members.size + 1e-9


@pytest.mark.parametrize("levels", [1, 2, 10])
def test_tied_noise_is_at_chance(levels: int) -> None:
    rng = np.random.default_rng(levels)
    coins = rng.random(4000) < 0.5
    scores = rng.integers(levels, size=4000)
    members, non_members = scores[coins], scores[~coins]
    band = auc_chance(members.size, non_members.size, level=0.999)
    assert band.low <= auc(members, non_members) <= band.high
    if levels == 1:
        assert auc(members, non_members) == 0.5
    for fpr in (0.1, 0.01, 0.001):
        assert tpr_at_fpr(members, non_members, fpr).true_positives <= (
            tpr_chance(members.size, non_members.size, fpr, level=0.999).high * members.size
        )


def test_infinite_scores_are_legal_and_nan_is_not() -> None:
    assert auc([np.inf, 0.0], [-np.inf, 0.0]) == 0.875
    point = tpr_at_fpr([np.inf, 1.0], [-np.inf] * 9 + [np.inf], 0.1)
    assert (point.tpr, point.false_positives, point.threshold) == (1.0, 1, -np.inf)
    for function in (auc, roc_curve, lambda a, b: tpr_at_fpr(a, b, 0.5)):
        with pytest.raises(ValueError, match="NaN"):
            function([1.0, np.nan], [0.0])
        with pytest.raises(ValueError, match="NaN"):
            function([1.0], [np.nan])
        with pytest.raises(ValueError, match="non-empty"):
            function([], [1.0])


def test_ties_at_the_threshold_are_not_spent() -> None:
    point = tpr_at_fpr([3.0, 2.0, 2.0, 0.0], [3.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0.2)
    assert (point.threshold, point.false_positives, point.true_positives, point.tpr) == (2.0, 1, 1, 0.25)


@pytest.mark.parametrize(
    ("n0", "fpr", "expected"),
    [
        (500, 0.001, "below"),
        (1000, 0.001, "few"),
        (9999, 0.001, "few"),
        (10_000, 0.001, "ok"),
        (99, 0.01, "below"),
        (100, 0.01, "few"),
        (1000, 0.01, "ok"),
        (9, 0.1, "below"),
        (30, 0.1, "few"),
        (100, 0.1, "ok"),
    ],
)
def test_resolution(n0: int, fpr: float, expected: str) -> None:
    assert resolution(n0, fpr) == expected
    point = tpr_at_fpr(np.arange(n0) + 0.5, np.arange(n0), fpr)
    assert point.resolution == expected
    assert math.isnan(point.tpr) == (expected == "below")


def test_repeated_non_members_add_no_resolution() -> None:
    scores = np.arange(2000.0)
    assert tpr_at_fpr(scores, scores, 0.01).resolution == "ok"
    assert tpr_at_fpr(scores, scores, 0.01, distinct_non_members=999).resolution == "few"
    assert tpr_at_fpr(scores, scores, 0.01, distinct_non_members=99).resolution == "below"
    with pytest.raises(ValueError, match="distinct_non_members"):
        tpr_at_fpr(scores, scores, 0.01, distinct_non_members=2001)


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1, math.nan])
def test_an_fpr_outside_the_open_unit_interval_is_refused(fpr: float) -> None:
    with pytest.raises(ValueError, match="fpr"):
        tpr_at_fpr([1.0], [0.0], fpr)


@settings(max_examples=50)
@given(st.integers(1, 20_000), st.sampled_from([0.1, 0.01, 0.001]))
def test_the_floor_survives_rounding(n0: int, fpr: float) -> None:
    parts = round(1 / fpr)
    point = tpr_at_fpr([0.0], np.arange(n0), fpr)
    assert point.false_positives == n0 // parts
