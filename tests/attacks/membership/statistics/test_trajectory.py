"""The trajectory statistic against a direct computation, and its treatment of missing rounds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedprivacy.adversary.threat import References, Signals
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.logits import binary_logp
from fedprivacy.attacks.membership.statistics.trajectory import Trajectory
from fedprivacy.metrics.roc import auc


def simulate(seed: int, n: int, rounds: int, references: int, noise: float = 1.0) -> tuple[Signals, np.ndarray]:
    """Margins of ``rounds`` rounds with a shared error and a growing effect of membership."""
    rng = np.random.default_rng(seed)
    coins, included = rng.random(n) < 0.5, rng.random((references, n)) < 0.5
    included[0], included[1] = True, False
    effect = np.linspace(0.2, 1.0, rounds)[:, None]

    def margins(used: np.ndarray) -> np.ndarray:
        shared = rng.normal(size=(*used.shape[:-1], 1, n))
        return effect * used[..., None, :] + shared + noise * rng.normal(size=(*used.shape[:-1], rounds, n))

    seen = np.ones((rounds, n), dtype=bool)
    theirs = References(binary_logp(margins(included)), included)
    return Signals(binary_logp(margins(coins)), seen, seen, np.ones(n, dtype=np.int64), theirs), coins


def phi_of(logp: np.ndarray) -> np.ndarray:
    return logp[..., 1] - logp[..., 0]


def test_equals_the_formula_written_out():
    signals, _ = simulate(0, 12, 3, 6)
    v, reference = phi_of(signals.logp), phi_of(signals.references.logp)
    included = signals.references.included
    scatter, freedom, mean = np.zeros((3, 3)), 0, {True: [], False: []}
    for i in range(12):
        for side in (True, False):
            rows = reference[included[:, i] == side, :, i]
            mean[side].append(rows.mean(axis=0))
            scatter += (rows - rows.mean(axis=0)).T @ (rows - rows.mean(axis=0))
            freedom += len(rows) - 1
    covariance = scatter / freedom
    covariance = 0.9 * covariance + 0.1 * np.diag(np.diag(covariance))
    direction = np.linalg.inv(covariance) @ (np.mean(mean[True], axis=0) - np.mean(mean[False], axis=0))
    expected = (v.T - np.array(mean[False])) @ direction
    np.testing.assert_allclose(Trajectory().score(signals), expected, rtol=1e-8)


def test_several_rounds_tell_more_than_the_last():
    signals, coins = simulate(1, 2000, 6, 10, noise=2.0)
    together = score_candidates(Trajectory(), signals)
    seen = np.zeros_like(signals.seen)
    seen[-1] = True
    last = score_candidates(Trajectory(), dataclasses.replace(signals, seen=seen))
    assert auc(together[coins], together[~coins]) > auc(last[coins], last[~coins]) + 0.03


def test_candidates_use_the_rounds_they_have_and_nothing_else():
    signals, _ = simulate(2, 40, 3, 8)
    seen, clean = np.ones((3, 40), dtype=bool), np.ones((3, 40), dtype=bool)
    seen[0, :10] = False
    clean[2, 10:20] = False
    seen[:, 39] = False
    masked = np.where(seen[:, :, None], signals.logp, np.nan)
    score = score_candidates(Trajectory(), dataclasses.replace(signals, logp=masked, seen=seen, clean=clean))
    assert np.isnan(score[39]) and np.isfinite(score[:39]).all()
    # What the third round holds of a candidate that is no longer clean there must not matter.
    spoilt = masked.copy()
    spoilt[2, 10:20] = binary_logp(np.full(10, 40.0))
    again = score_candidates(Trajectory(), dataclasses.replace(signals, logp=spoilt, seen=seen, clean=clean))
    np.testing.assert_array_equal(score, again)


def test_refuses_signals_without_references_or_predictions():
    signals, _ = simulate(3, 6, 2, 6)
    with pytest.raises(ValueError, match="references"):
        Trajectory().score(dataclasses.replace(signals, references=None))
    with pytest.raises(ValueError, match="no prediction"):
        Trajectory().score(dataclasses.replace(signals, logp=np.full_like(signals.logp, np.nan)))
