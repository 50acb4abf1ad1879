"""References are read a block of candidates at a time: the same numbers, in little memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from fedprivacy.adversary.threat import References, Signals
from fedprivacy.attacks.membership import evidence as module
from fedprivacy.attacks.membership.evidence import evidence
from fedprivacy.attacks.membership.statistics import STATISTICS

READ_REFERENCES = (
    "calibrated",
    "ratio",
    "base-online",
    "base-offline",
    "rmia",
    "lira-online",
    "lira-offline",
    "bavaria",
)


def signals(n: int = 301, references: int = 6, classes: int = 5) -> Signals:
    """One round; reference 1 did not answer on every third candidate."""
    draw = np.random.default_rng(3)

    def answers(*shape: int) -> np.ndarray:
        return np.asarray(log_softmax(3 * draw.normal(size=(*shape, classes)), axis=-1))

    theirs = answers(references, 1, n)
    theirs[1, 0, ::3] = np.nan
    seen = np.ones((1, n), dtype=np.bool_)
    coins = draw.random((references, n)) < 0.5
    return Signals(
        answers(1, n),
        seen,
        seen,
        draw.integers(0, classes, n),
        References(theirs, coins, answers(references, 1, 40)),
        answers(1, 40),
        draw.integers(0, classes, 40),
    )


@pytest.mark.parametrize("name", READ_REFERENCES)
@pytest.mark.parametrize("at_once", [1, 211, 6 * 5 * 100])
def test_a_score_does_not_depend_on_the_size_of_a_block(
    name: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = signals()
    whole = STATISTICS[name]().score(given)
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    for kept in (0, module.KEPT):
        monkeypatch.setattr(module, "KEPT", kept)
        np.testing.assert_allclose(STATISTICS[name]().score(signals()), whole, rtol=1e-12, atol=1e-12)


def test_whole_margins_are_those_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 100)
    monkeypatch.setattr(module, "KEPT", 0)
    found = evidence(signals(), temperature=2.0)
    for number in range(6):
        values, outside, inside = found.over_references(lambda v, o, i, s=number: (v[s], o[s], i[s]))
        assert np.array_equal(values, found.reference_phi[number])
        assert np.array_equal(outside, found.outside[number])
        assert np.array_equal(inside, found.inside[number])
    assert not (found.outside & found.inside).any()
    assert not (found.outside | found.inside)[1, ::3].any()


def test_float32_references_are_compared_in_float64() -> None:
    given = signals()
    assert given.references is not None
    narrow = replace(given.references, logp=given.references.logp.astype(np.float32))
    wide = replace(narrow, logp=narrow.logp.astype(np.float64))
    for name in READ_REFERENCES:
        scores = [STATISTICS[name]().score(replace(given, references=one)) for one in (narrow, wide)]
        assert np.array_equal(*scores), name


@pytest.mark.parametrize("name", READ_REFERENCES)
def test_scoring_takes_a_fraction_of_the_memory_that_the_references_take(name: str) -> None:
    given = signals(n=20_000, references=32, classes=10)
    assert given.references is not None
    tracemalloc.start()
    try:
        STATISTICS[name]().score(given)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.35 * given.references.logp.nbytes
