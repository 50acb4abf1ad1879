"""What a membership statistic promises: one finite number a candidate, higher says member, nothing from nothing."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from fedprivacy.adversary.threat import Float, Signals
from fedprivacy.attacks.membership.combine import score_candidates
from fedprivacy.metrics.auc_interval import auc_interval
from fedprivacy.metrics.roc import auc
from fedprivacy.study.conformance.checked import Look, hold
from fedprivacy.study.conformance.signals import made_up

WORDS = frozenset({"references", "in-references", "never-trained", "surrogates", "population"})
DRAWS, ALLOWED = 60, 11
"""Of 60 intervals at 95% on pure noise more than 11 miss chance with probability 2e-4."""


def looks(made: Any) -> Iterator[tuple[str, Look]]:
    """The properties of the statistic class or instance ``made``."""
    statistic = made() if isinstance(made, type) else made

    def shape() -> str:
        for name in ("name", "needs", "score"):
            hold(hasattr(statistic, name), f"it has no {name}")
        odd = set(statistic.needs) - WORDS
        hold(not odd, f"needs names {', '.join(sorted(odd))}; what signals can offer: {', '.join(sorted(WORDS))}")
        return f"called '{statistic.name}'"

    signals, coins = made_up(0, 0.0, 80, 6, 60)

    def scored(given: Signals = signals) -> Float:
        return score_candidates(statistic, given)

    def finite() -> str:
        score = scored()
        hold(score.shape == (80,), f"80 candidates gave scores of shape {list(score.shape)}")
        hold(score.dtype == np.float64, f"scores are {score.dtype}, not float64")
        hold(bool(np.isfinite(score).all()), f"{int((~np.isfinite(score)).sum())} of 80 scores are not finite")
        return ""

    def pure() -> str:
        before = copy.deepcopy(signals)
        hold(np.array_equal(scored(), scored()), "two calls on the same signals differ")
        hold(_same(before, signals), "it changes the signals that it is given")
        return ""

    def equivariant() -> str:
        order = np.random.default_rng(1).permutation(80)
        theirs = signals.references
        assert theirs is not None
        moved = dataclasses.replace(
            signals,
            logp=signals.logp[:, order],
            labels=signals.labels[order],
            references=dataclasses.replace(theirs, logp=theirs.logp[:, :, order], included=theirs.included[:, order]),
        )
        far = float(np.abs(scored(moved) - scored()[order]).max())
        hold(far < 1e-6, f"the order of the candidates changes scores by up to {far:.2g}")
        return ""

    def null() -> str:
        missed = 0
        for number in range(DRAWS):
            noise, truth = made_up(number + 1, 0.0, 120, 6, 60)
            score = scored(noise)
            found = auc_interval(score[truth], score[~truth], 0.95)
            missed += not found.low <= 0.5 <= found.high
        hold(
            missed <= ALLOWED,
            f"on pure noise {missed} of {DRAWS} intervals at 95% miss chance: it finds what is not there",
        )
        return f"{missed} of {DRAWS} intervals at 95% miss chance"

    def power() -> str:
        leaking, truth = made_up(0, 8.0, 1500, 12, 3000)
        score = scored(leaking)
        area = auc(score[truth], score[~truth])
        hold(area > 0.1, f"on a planted leak the AUC is {area:.3f}: it has the wrong sign, higher must say member")
        hold(area > 0.9, f"on a planted leak of 8 nats the AUC is only {area:.3f}")
        return f"AUC {area:.3f}"

    yield "it is a statistic", shape
    yield "one finite float64 a candidate", finite
    yield "equal signals give equal scores, and stay as they are", pure
    yield "scores follow the candidates", equivariant
    yield "at chance on pure noise", null
    yield "finds a planted leak", power
    del coins


def _same(a: Signals, b: Signals) -> bool:
    first, second = a.references, b.references
    assert first is not None and second is not None
    pairs = [(a.logp, b.logp), (a.labels, b.labels), (first.logp, second.logp), (first.included, second.included)]
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in pairs)
