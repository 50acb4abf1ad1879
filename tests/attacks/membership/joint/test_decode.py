"""Decoding is exact on a linear case, says nothing of noise, and is the posterior that it claims to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binom

from fedprivacy.attacks.membership.joint import solve
from fedprivacy.attacks.membership.joint.decode import calibrated, decoded
from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.metrics.roc import auc

RECORDS, SIZE, WORLDS = 60, 200, 4


class Linear:
    """A change that is exactly the sum of the members' gradients, times 0.3, plus noise of a given size."""

    def __init__(self, seed: int, noise: float, size: int = SIZE, number: int = RECORDS) -> None:
        draw = np.random.default_rng([5, seed])
        common = draw.normal(size=size)
        self.gradients = torch.from_numpy(draw.normal(size=(number, size)) + 2 * common)
        self.coins = draw.random(number) < 0.5
        half = draw.random((WORLDS // 2, number)) < 0.5
        self.worlds = np.stack([half, ~half], axis=1).reshape(WORLDS, number)
        self.observed = self.inner(self.coins, draw, noise)
        self.played = torch.stack([self.inner(coins, draw, noise) for coins in self.worlds])

    def inner(self, coins, draw, noise: float):
        change = 0.3 * torch.from_numpy(coins).double() @ self.gradients
        return self.gradients @ (change + noise * torch.from_numpy(draw.normal(size=len(change))))

    def scores(self, observed=None, played=None):
        observed = self.observed if observed is None else observed
        played = self.played if played is None else played
        n = len(self.coins)
        gram = self.gradients @ self.gradients.T
        return decoded(gram, observed, played, self.worlds, np.full(n, 0.5), np.ones(n, dtype=bool))


def test_a_sum_of_gradients_is_taken_apart_exactly():
    case = Linear(0, 0.0)
    result = case.scores()
    assert auc(result.scores[case.coins], result.scores[~case.coins]) == 1.0
    for world, coins in enumerate(case.worlds):
        assert auc(result.simulated[world][coins], result.simulated[world][~coins]) == 1.0
    assert (result.scores[case.coins] > 0).all()
    assert (result.scores[~case.coins] < 0).all()


def test_a_plain_inner_product_is_not_enough_there():
    """The records share a direction, which hides who was in; what is explained by others has to be taken away."""
    areas = [
        auc(c.observed.numpy()[c.coins], c.observed.numpy()[~c.coins]) for c in (Linear(s, 0.0) for s in range(10))
    ]
    assert np.mean(areas) < 0.95


def test_with_noise_the_simulations_foretell_what_is_measured():
    measured, foretold = [], []
    for seed in range(40):
        case = Linear(seed, 1.5)
        result = case.scores()
        measured.append(auc(result.scores[case.coins], result.scores[~case.coins]))
        worlds = zip(result.simulated, case.worlds, strict=True)
        foretold.append(np.mean([auc(odds[coins], odds[~coins]) for odds, coins in worlds]))
    assert 0.6 < np.mean(measured) < 0.98
    assert abs(np.mean(measured) - np.mean(foretold)) < 0.05


def test_log_odds_are_calibrated():
    """Of candidates with log-odds near +1 about 73% were trained on."""
    odds, coins = [], []
    for seed in range(60):
        case = Linear(seed, 1.5)
        odds.append(case.scores().scores)
        coins.append(case.coins)
    near = np.abs(np.concatenate(odds) - 1) < 0.5
    assert near.sum() > 200
    assert abs(np.concatenate(coins)[near].mean() - 1 / (1 + np.exp(-1))) < 0.08


def test_a_change_that_has_nothing_to_do_with_the_coins_is_at_chance():
    misses = 0
    draws = 200
    for seed in range(draws):
        case = Linear(seed, 0.5)
        other = Linear(1000 + seed, 0.5)
        noise = case.gradients @ (0.3 * torch.from_numpy(other.coins).double() @ other.gradients)
        scores = case.scores(observed=noise).scores
        interval = auc_interval(scores[case.coins], scores[~case.coins], 0.95)
        misses += not interval.low <= 0.5 <= interval.high
    assert misses <= binom.ppf(0.999, draws, 0.05)


def test_a_change_of_nothing_scores_nothing():
    case = Linear(0, 0.0)
    still = case.scores(torch.zeros(RECORDS).double(), torch.zeros(WORLDS, RECORDS).double())
    np.testing.assert_array_equal(still.scores, 0)
    assert still.power == 0
    gram, half = case.gradients @ case.gradients.T, np.full(RECORDS, 0.5)
    nobody = decoded(gram, case.observed, case.played, case.worlds, half, np.zeros(RECORDS, dtype=bool))
    np.testing.assert_array_equal(nobody.scores, 0)


def test_a_record_that_is_seen_well_counts_more_than_one_that_is_not():
    """Two records with the same gap in the simulations, one of them with a tenth of the spread."""
    draw = np.random.default_rng(0)
    coins = np.tile([[True], [False]], (20, 2))
    known = np.where(coins, 1.0, -1.0) + draw.normal(size=coins.shape) * [0.1, 1.0]
    odds = calibrated(np.array([0.5, 0.5]), known, coins, np.ones(2, dtype=bool))
    assert odds[0] > 2 * odds[1] > 0
    nothing = calibrated(np.array([0.5, 0.5]), known, np.zeros_like(coins), np.ones(2, dtype=bool))
    np.testing.assert_array_equal(nothing, 0)


def test_columns_that_are_not_judged_still_explain():
    """Half of the records stand in for unknown ones: leaving them out of the equations costs, judging them does not."""
    case = Linear(3, 0.0)
    judged = np.arange(RECORDS) < RECORDS // 2
    gram, prior = case.gradients @ case.gradients.T, np.full(RECORDS, 0.5)
    whole = decoded(gram, case.observed, case.played, case.worlds, prior, judged)
    rows = torch.from_numpy(np.flatnonzero(judged))
    part = decoded(
        gram[rows][:, rows],
        case.observed[rows],
        case.played[:, rows],
        case.worlds[:, judged],
        prior[judged],
        judged[judged],
    )
    coins, found = case.coins[judged], whole.scores[judged]
    assert auc(found[coins], found[~coins]) == 1.0
    assert whole.power > 3 * part.power


def test_the_direct_solution_is_the_posterior():
    case = Linear(1, 0.0)
    gram = case.gradients @ case.gradients.T
    for ridge, found in solve.solutions(gram, case.observed[None]):
        inverse = torch.linalg.inv(gram + ridge * gram.diagonal().mean() * torch.eye(RECORDS, dtype=torch.float64))
        expected = inverse @ case.observed / inverse.diagonal()
        torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-6)


def test_conjugate_gradients_and_random_signs_come_near_the_direct_solution(monkeypatch: pytest.MonkeyPatch):
    case = Linear(2, 0.0, size=900, number=300)
    gram = case.gradients @ case.gradients.T
    monkeypatch.setattr(solve, "PRECISION", 1e-8)
    shifted = gram + gram.diagonal().mean() * torch.eye(300, dtype=torch.float64)
    found = solve.conjugate_gradients(lambda v: v @ shifted, case.played, shifted.diagonal())
    torch.testing.assert_close(found, torch.linalg.solve(shifted, case.played.T).T, rtol=1e-6, atol=1e-6)
    direct = {ridge: odds for ridge, odds in solve.solutions(gram, case.observed[None]) if ridge in solve.FEW}
    monkeypatch.setattr(solve, "PRECISION", 1e-3)
    monkeypatch.setattr(solve, "DIRECT", 10)
    for ridge, odds in solve.solutions(gram, case.observed[None]):
        assert np.corrcoef(odds[0], direct[ridge][0])[0, 1] > 0.95
