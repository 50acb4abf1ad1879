"""The predictive ratio against draws from its own model, copies of replays, and answers that tell nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.attacks.membership.unrolled.predictive import predictive_ratio
from fedprivacy.metrics import auc


class Drawn:
    """Answers and replays of ``n`` records: pairs of equal coins, then singles, and the target."""

    def __init__(self, seed: int, n: int, pairs: int, singles: int, gap: float = 1.8, order: float = 0.1) -> None:
        draw = np.random.default_rng(seed)
        kinds = draw.random((pairs + singles, n)) < 0.5
        self.replayed = np.concatenate([kinds[:pairs].repeat(2, axis=0), kinds[pairs:]])
        self.coins = draw.random(n) < 0.5
        base, gaps = draw.normal(0, 3, n), draw.normal(gap, 1.0, n) if gap else np.zeros(n)
        deviation = 1 / np.sqrt(draw.gamma(6, 1 / 5, n))
        other = np.sqrt(1 - order) * draw.normal(size=(pairs + singles + 1, n))
        other = np.concatenate([other[:pairs].repeat(2, axis=0), other[pairs:]])
        margins = other + np.sqrt(order) * draw.normal(size=other.shape)
        every = np.concatenate([self.replayed, self.coins[None]])
        margins = base + gaps * every + deviation * margins
        self.replies, self.answer = margins[:-1], margins[-1]

    def ratio(self) -> np.ndarray:
        return predictive_ratio(self.answer, self.replies, self.replayed)


@pytest.mark.parametrize(("pairs", "singles", "bits"), [(3, 2, 0.648), (8, 16, 0.581), (0, 5, 0.654)])
def test_log_odds_mean_what_they_say(pairs: int, singles: int, bits: float) -> None:
    drawn = Drawn(0, 40_000, pairs, singles)
    odds = drawn.ratio()
    assert np.logaddexp(0, np.where(drawn.coins, -odds, odds)).mean() < bits * np.log(2)
    for low, high in [(-9, -2), (-2, -1), (-1, -0.3), (-0.3, 0.3), (0.3, 1), (1, 2), (2, 9)]:
        chosen = (odds >= low) & (odds < high)
        told = 1 / (1 + np.exp(-odds[chosen]))
        error = np.sqrt((told * (1 - told)).sum()) / chosen.sum()
        assert abs(drawn.coins[chosen].mean() - told.mean()) < 4 * error + 0.02


def test_fits_taken_for_the_truth_claim_twice_as_much() -> None:
    drawn = Drawn(1, 20_000, 3, 2)
    fitted = np.zeros(len(drawn.answer))
    for inside in (False, True):
        mask = drawn.replayed == inside
        count = np.maximum(mask.sum(axis=0), 1)
        mean = np.where(mask, drawn.replies, 0).sum(axis=0) / count
        spread = np.where(mask, np.square(drawn.replies - mean), 0).sum() / (count - 1).sum()
        fitted += (1 if inside else -1) * -0.5 * (np.square(drawn.answer - mean) / spread + np.log(spread))
    for odds, honest in ((fitted, False), (drawn.ratio(), True)):
        surest = np.argsort(-odds)[:1000]
        told = (1 / (1 + np.exp(-odds[surest]))).mean()
        assert (drawn.coins[surest].mean() > told - 0.02) == honest
    assert auc(drawn.ratio()[drawn.coins], drawn.ratio()[~drawn.coins]) > auc(fitted[drawn.coins], fitted[~drawn.coins])


def test_a_copy_of_a_replay_tells_nothing_more() -> None:
    drawn = Drawn(2, 400, 0, 6)
    twice = predictive_ratio(drawn.answer, drawn.replies.repeat(2, axis=0), drawn.replayed.repeat(2, axis=0))
    assert np.allclose(twice, drawn.ratio(), rtol=0.05, atol=0.01)


def test_few_records_leave_the_priors_open() -> None:
    draws = [Drawn(seed, 3, 0, 3) for seed in range(400)]
    odds = np.concatenate([drawn.ratio() for drawn in draws])
    coins = np.concatenate([drawn.coins for drawn in draws])
    assert np.logaddexp(0, np.where(coins, -odds, odds)).mean() < np.log(2) - 0.05
    assert np.abs(odds).max() < 15


@pytest.mark.parametrize(("scale", "shifts"), [(1000.0, []), (1.0, [700.0]), (1.0, [700.0, -700.0])])
def test_a_wild_record_tells_nothing_of_the_others(scale: float, shifts: list[float]) -> None:
    drawn = Drawn(5, 40, 3, 2)
    drawn.replies[:, 0] *= scale
    drawn.replies[2 : 2 + len(shifts), 0] += shifts
    alone = predictive_ratio(drawn.answer[1:], drawn.replies[:, 1:], drawn.replayed[:, 1:])
    assert np.isfinite(drawn.ratio()).all()
    assert np.allclose(drawn.ratio()[1:], alone) and np.abs(alone).mean() > 1


def test_where_membership_changes_nothing_nothing_is_claimed() -> None:
    drawn = Drawn(3, 5_000, 3, 2, gap=0.0)
    odds = drawn.ratio()
    assert np.abs(odds).mean() < 0.1
    assert abs(auc(odds[drawn.coins], odds[~drawn.coins]) - 0.5) < 0.03


@given(st.integers(0, 50), st.floats(-50, 50), st.floats(0.1, 20))
def test_units_of_the_margin_do_not_matter(seed: int, shift: float, scale: float) -> None:
    drawn = Drawn(seed, 60, 3, 2)
    moved = predictive_ratio(scale * drawn.answer + shift, scale * drawn.replies + shift, drawn.replayed)
    assert np.allclose(moved, drawn.ratio(), rtol=1e-6, atol=1e-6)


def test_missing_margins_and_too_few_replays_say_nothing() -> None:
    drawn = Drawn(4, 50, 3, 2)
    drawn.answer[0] = drawn.replies[2, 1] = np.nan
    drawn.answer[2], drawn.replies[0, 3] = np.inf, -np.inf
    odds = drawn.ratio()
    assert (odds[:4] == 0).all() and (odds[4:] != 0).all()
    assert not predictive_ratio(drawn.answer, drawn.replies[:2], drawn.replayed[:2]).any()
    assert not predictive_ratio(drawn.answer, drawn.replies[:2], np.zeros((2, 50), dtype=bool)).any()
    assert not predictive_ratio(np.full(50, np.nan), drawn.replies, drawn.replayed).any()


def test_answers_that_are_labels_alone_still_tell() -> None:
    drawn = Drawn(5, 2_000, 3, 2, gap=4.0)
    right = [np.where(margins > 8, 9.0, -9.0) for margins in (drawn.answer, drawn.replies)]
    assert (np.ptp(right[1], axis=0) == 0).mean() > 0.75
    odds = predictive_ratio(right[0], right[1], drawn.replayed)
    assert auc(odds[drawn.coins], odds[~drawn.coins]) > 0.53
    assert np.abs(odds).max() < 20
