"""Accusations: the false discovery rate stays at the stated one where nothing leaks, and where records do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from fedprivacy import seeds
from fedprivacy.metrics.accusations import benjamini_hochberg, conformal_p_values

DRAWS = 600


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.sampled_from([0.01, 0.1, 0.5]))
def test_the_procedure_is_that_of_scipy(p_values: list[float], rate: float) -> None:
    adjusted = false_discovery_control(p_values)
    expected = adjusted <= rate
    clear = np.abs(adjusted - rate) > 1e-12
    assert np.array_equal(benjamini_hochberg(p_values, rate)[clear], expected[clear])


def test_a_conformal_p_value_of_a_non_member_is_exactly_uniform() -> None:
    scores = np.array([0.1, 0.7, 1.4, 2.0, 3.3])
    found = [conformal_p_values(scores[[place]], np.delete(scores, place))[0] for place in range(5)]
    assert sorted(found) == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_ties_count_against_an_accusation() -> None:
    assert conformal_p_values([1.0, 2.0], [1.0, 1.0, 0.0]).tolist() == [0.75, 0.25]


@pytest.mark.parametrize(("scores", "known"), [([1.0], []), ([np.nan], [1.0]), ([1.0], [np.nan]), ([[1.0]], [1.0])])
def test_what_cannot_be_ranked_is_refused(scores: list[float], known: list[float]) -> None:
    with pytest.raises(ValueError):
        conformal_p_values(scores, known)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_lies_between_0_and_1(rate: float) -> None:
    with pytest.raises(ValueError):
        benjamini_hochberg([0.1], rate)


def false_discoveries(effect: float, rate: float, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """[DRAWS] share of non-members among those accused, and of members found, in banks of two clients.

    ``effect``: standard deviations that training moves a member's score. Kinds: ``alike`` records; ``uneven`` ones,
    some of which look like members anyway and hardly move; ``shared``: one random shift and scale a federation.
    """
    draw = seeds.numpy_generator(0, "accusations", kind, str(effect), str(rate))
    wrong, right = [], []
    for _ in range(DRAWS):
        p_values, members = [], []
        for _client in range(2):
            coins = draw.random(120) < 0.5
            easy = draw.normal(scale=3.0 if kind == "uneven" else 0.0, size=120)
            moved = effect * coins / (1 + np.abs(easy))
            scores = easy + moved + draw.normal(size=120)
            if kind == "shared":
                scores = draw.gamma(2.0) * scores + draw.normal(scale=5.0)
            out = draw.permutation(np.flatnonzero(~coins))
            known, tested = out[: len(out) // 2], np.concatenate([np.flatnonzero(coins), out[len(out) // 2 :]])
            p_values.append(conformal_p_values(scores[tested], scores[known]))
            members.append(coins[tested])
        accused, truth = benjamini_hochberg(np.concatenate(p_values), rate), np.concatenate(members)
        wrong.append((accused & ~truth).sum() / max(1, accused.sum()))
        right.append((accused & truth).mean())
    return np.array(wrong), np.array(right)


@pytest.mark.parametrize("kind", ["alike", "uneven", "shared"])
@pytest.mark.parametrize(("effect", "rate"), [(0.0, 0.1), (0.0, 0.3), (4.0, 0.1), (4.0, 0.3)])
def test_the_empirical_rate_is_at_most_nominal_in_null_and_planted_banks(kind: str, effect: float, rate: float) -> None:
    wrong, right = false_discoveries(effect, rate, kind)
    error = wrong.std(ddof=1) / np.sqrt(DRAWS)
    assert wrong.mean() <= rate + 3 * error
    if effect and kind != "uneven":
        assert right.mean() > 0.1, "it finds members"


def test_exact_ties_are_not_lost_to_rounding() -> None:
    p_values = np.r_[np.full(30, 1 / 150), np.ones(15)]
    assert benjamini_hochberg(p_values, 0.01).sum() == 30
