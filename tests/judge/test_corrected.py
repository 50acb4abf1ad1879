"""Verdicts over several adversaries hold together: more of them call a silent protocol leaky no more often."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from fedprivacy.judge import verdicts
from fedprivacy.judge.corrected import together, words
from fedprivacy.judge.result import Finding
from fedprivacy.metrics.intervals import mean_interval, widened


def auc(adversary: str, value: float, half: float, **more: object) -> Finding:
    return Finding(
        "membership", "seen", "loss", adversary, "all clients", "AUC", value, 0.5, value - half, value + half, 0.95, 1,
        0.5 - half, 0.5 + half, 500, 500, headline=True, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_wider_interval_is_that_of_the_corrected_level() -> None:
    sample = np.random.default_rng(0).normal(size=6)
    plain, strict = mean_interval(sample), mean_interval(sample, 1 - 0.05 / 3)
    assert widened(plain.value, plain.low, 0.95, 3, 6) == pytest.approx(strict.low)
    assert widened(plain.value, plain.high, 0.95, 3, 6) == pytest.approx(strict.high)
    assert widened(0.0, -1.959964, 0.95, 2) == pytest.approx(-2.241403, abs=1e-5)
    assert widened(0.2, 0.1, 0.95, 1) == pytest.approx(0.1)


def test_one_adversary_is_left_as_it_is() -> None:
    alone = [auc("server", 0.56, 0.05)]
    assert together(alone) == alone
    assert words(alone) == ""


def test_a_near_miss_of_one_adversary_is_no_refutation_among_many() -> None:
    near = auc("server", 0.551, 0.05)
    assert [v.verdict for v in verdicts.leakage([near], "it", "test")] == ["refuted"]
    others = [auc(f"client-{k}", 0.5, 0.05) for k in range(4)]
    judged = verdicts.leakage([near, *others], "it", "test")
    assert {v.verdict for v in judged} == {"inconclusive"}
    strong = verdicts.leakage([auc("server", 0.6, 0.05), *others], "it", "test")
    assert strong[0].verdict == "refuted"
    assert "corrected for 5 adversaries" in strong[0].why


def test_silent_protocols_are_called_leaky_no_more_often_by_eight_adversaries() -> None:
    rng, fired, deviation = np.random.default_rng(1), 0, 0.02
    for _ in range(400):
        seen = [auc(f"client-{k}", 0.5 + deviation * rng.normal(), 1.959964 * deviation) for k in range(8)]
        fired += any(v.verdict == "refuted" for v in verdicts.leakage(seen, "it", "test"))
    assert fired <= binom.ppf(0.999, 400, 0.025)
