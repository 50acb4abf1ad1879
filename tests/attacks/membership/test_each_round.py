"""All rounds at once give what each gives by itself, and nothing is made that nobody reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.adversary.threat import References, Signals
from fedprivacy.attacks.membership.combine import score_rounds
from fedprivacy.attacks.membership.each_round import EachRound
from fedprivacy.attacks.membership.evidence import at_round
from fedprivacy.attacks.membership.moments import kept
from fedprivacy.attacks.membership.statistics import STATISTICS

BY_ROUND = sorted(name for name, statistic in STATISTICS.items() if issubclass(statistic, EachRound))
ROUNDS, N, POPULATION = 3, 40, 25


def signals(seed: int) -> Signals:
    """Two references never trained; some records nobody left out, some nobody trained on; one does not answer all."""
    draw = np.random.default_rng(seed)

    def answers(*shape: int) -> np.ndarray:
        z = 3 * draw.normal(size=(*shape, 4))
        return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))

    coins = draw.random((7, N)) < 0.5
    coins[:, :4], coins[:, 4:8] = True, False
    coins[5:] = False
    theirs = answers(7, ROUNDS, N)
    theirs[1, draw.integers(ROUNDS), ::3] = np.nan
    theirs[5:, 1, :2] = np.nan  # so that in one round no reference is left out there
    seen = np.ones((ROUNDS, N), dtype=bool)
    return Signals(
        answers(ROUNDS, N),
        seen,
        seen,
        draw.integers(0, 4, N),
        References(theirs, coins, answers(7, ROUNDS, POPULATION)),
        answers(ROUNDS, POPULATION),
        draw.integers(0, 4, POPULATION),
    )


def test_every_statistic_but_those_of_all_rounds_together_scores_each_round() -> None:
    assert set(STATISTICS) - set(BY_ROUND) == {"trajectory", "joint"}


@pytest.mark.parametrize("name", BY_ROUND)
@given(seed=st.integers(0, 10_000))
def test_all_rounds_at_once_are_those_round_by_round(name: str, seed: int) -> None:
    statistic, given = STATISTICS[name](), signals(seed)
    together = score_rounds(statistic, given)
    for number in range(ROUNDS):
        alone = statistic.score(at_round(given, number, np.ones(N, dtype=bool)))
        np.testing.assert_allclose(together[number], alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", BY_ROUND)
def test_where_a_candidate_or_the_population_was_not_heard_each_round_is_scored_alone(name: str) -> None:
    statistic, whole = STATISTICS[name](), signals(1)
    seen = whole.seen.copy()
    seen[1, 5:9] = False
    population = np.array(whole.population_logp)
    population[2, :3] = np.nan
    for one in (replace(whole, seen=seen), replace(whole, population_logp=population)):
        found = score_rounds(statistic, one)
        assert (np.isnan(found) == ~one.seen).all()
        for number in range(ROUNDS):
            alone = statistic.score(at_round(one, number, one.seen[number]))
            np.testing.assert_array_equal(found[number][one.seen[number]], alone)


def test_references_are_put_together_when_they_are_read_and_only_once() -> None:
    asked: list[str] = []

    def made() -> np.ndarray:
        asked.append("now")
        return np.zeros((2, 1, 3, 4))

    late = References(made, np.zeros((2, 3), dtype=bool), margins=np.zeros((2, 1, 3)))
    cut = late.read(lambda values: values[:1], lambda values: values[:1], late.included[:1])
    assert not asked and not late.with_population
    assert cut.logp.shape == (1, 1, 3, 4) and late.logp.shape == (2, 1, 3, 4) and asked == ["now"]
    assert cut.margins is not None and cut.margins.shape == (1, 1, 3) and cut.population_logp is None
    assert replace(late, margins=None).logp is late.logp


@given(st.lists(st.tuples(st.floats(width=64), st.booleans()), min_size=1, max_size=20))
def test_what_is_kept_is_kept_to_the_bit(pairs: list[tuple[float, bool]]) -> None:
    values, mask = np.array([value for value, _ in pairs]), np.array([flag for _, flag in pairs])
    np.testing.assert_array_equal(kept(values, mask), np.where(mask, values, 0.0))
