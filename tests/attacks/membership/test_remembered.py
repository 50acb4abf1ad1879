"""What is derived from an observation is derived once; margins that are known already score as those derived anew."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedprivacy.adversary.threat import Signals
from fedprivacy.attacks.membership.assemble import Shadow, signals_of
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.attacks.membership.evidence import evidence_of_rounds, never_trained
from fedprivacy.attacks.membership.remembered import remembered
from fedprivacy.attacks.membership.statistics import applicable
from fedprivacy.federation.knowledge import Observed


class _Thing:
    pass


def test_it_is_made_once_for_each_thing_and_content_and_forgotten_with_the_thing() -> None:
    asked: list[bytes] = []

    @remembered
    def made(thing: _Thing, values: np.ndarray, factor: float = 1.0) -> float:
        asked.append(values.tobytes())
        return float(values.sum() * factor)

    one, other, values = _Thing(), _Thing(), np.arange(3.0)
    assert made(one, values) == made(one, values.copy()) == 3 and len(asked) == 1
    assert made(one, values, 2.0) == 6 and made(one, values + 1) == 6 and made(other, values) == 3 and len(asked) == 4
    assert made(one, values.astype(np.float32)) == 3 and len(asked) == 5
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("inside", [True, False])
def test_signals_are_forgotten_with_all_that_statistics_made_of_them(
    drawn_signals: Callable[[int], Signals], inside: bool
) -> None:
    signals = drawn_signals(1)
    assert signals.references is not None
    signals.references.included[:4] &= inside
    found = evidence_of_rounds(signals)
    kept = never_trained(found)
    assert (kept is found) is not inside
    for statistic in applicable(signals):
        score_candidates(statistic, signals)
    gone = weakref.ref(signals)
    del signals, found, kept
    gc.collect()
    assert gone() is None


def _federation(rng: np.random.Generator, clients: int, rounds: int, n: int) -> Observed:
    def logp(size: int) -> np.ndarray:
        values = rng.normal(size=(clients, rounds, size, 4))
        return values - np.log(np.exp(values).sum(axis=-1, keepdims=True))

    seen = rng.random((rounds, n)) < 0.8
    answers = logp(n)
    answers[:, ~seen] = np.nan
    beside = logp(n)[:1], logp(9)[:1]
    return Observed(
        answers, seen, np.ones_like(seen), logp(9), reference_logp=beside[0], reference_population_logp=beside[1]
    )


@pytest.mark.parametrize("order", [np.sort, lambda chosen: chosen[::-2]], ids=["in a row", "scattered"])
def test_margins_of_a_whole_federation_score_as_those_of_each_round_derived_anew(
    order: Callable[[np.ndarray], np.ndarray],
) -> None:
    rng = np.random.default_rng(3)
    rounds, n = 3, 24
    labels, others, chosen = rng.integers(0, 4, n), rng.integers(0, 4, 9), order(np.arange(4, 20))
    own = _federation(rng, 3, rounds, n)
    shadows = [Shadow(_federation(rng, 3, rounds, n), rng.random(n) < 0.5) for _ in range(5)]
    known = signals_of(own, shadows, 1, chosen, labels, others, coop=True)
    assert known.references is not None and len(known.references.included) == 2 + 1 + 5
    anew = replace(known.references, margins=None, population_margins=None, tempered={})
    bare: Signals = replace(known, references=anew)
    for place, shadow in enumerate(shadows, 3):
        np.testing.assert_array_equal(anew.logp[place], shadow.observed.logp[1][:, chosen])
        np.testing.assert_array_equal(anew.included[place], shadow.coins[chosen])
    names = [one.name for one in applicable(known)]
    assert {"rmia", "trajectory", "coop-lira", "base-online", "lira-online"} <= set(names)
    for statistic in applicable(known):
        np.testing.assert_allclose(score_candidates(statistic, known), score_candidates(statistic, bare), rtol=1e-12)


def test_where_the_target_alone_was_heard_references_say_what_they_said_last() -> None:
    """Clients that take turns: no statistic is without references in a round of the target's own."""
    rng = np.random.default_rng(5)
    n = 24
    own = _federation(rng, 3, 4, n)
    heard = np.array([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]], dtype=bool)
    logp = np.where(heard[:, :, None, None], own.logp, np.nan)
    population = np.where(heard[:, :, None, None], own.population_logp, np.nan)
    turns = replace(own, logp=logp, population_logp=population, seen=np.repeat(heard.any(axis=0)[:, None], n, axis=1))
    turns = replace(turns, reference_logp=None, reference_population_logp=None)
    labels, others, chosen = rng.integers(0, 4, n), rng.integers(0, 4, 9), np.arange(5, 20)
    known = signals_of(turns, [], 0, chosen, labels, others, coop=True)
    assert known.references is not None
    for number, rounds in ((0, (0, 0, 0, 0)), (1, (2, 2, 2, 2))):
        for round in (1, 3):
            said = turns.logp[number + 1, rounds[round], chosen]
            np.testing.assert_array_equal(known.references.logp[number, round], said)
    assert np.isnan(known.references.logp[0, 2]).all()  # another one was heard then
    for statistic in applicable(known):
        assert not np.isnan(score_candidates(statistic, known)).any()
