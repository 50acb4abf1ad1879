"""Selections of the examiner: the best of many is corrected, the most vulnerable tenth is chosen without a look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedprivacy.adversary.threat import Truth
from fedprivacy.judge import examiner
from fedprivacy.judge.target import Label, Target
from fedprivacy.judge.vulnerable import TENTH, most_vulnerable_tenth
from fedprivacy.metrics.intervals import mean_interval

LABEL = Label("probes", "server", "ratio", 0.95, True, "a note")


def noise(draw: np.random.Generator, n: int, names: tuple[str, ...] = ("client-0",), leak: float = 0.0) -> list[Target]:
    targets = []
    for name in names:
        coins = draw.random(n) < 0.5
        targets.append(Target(name, draw.normal(size=n) + leak * coins, Truth(coins)))
    return targets


def test_the_best_of_twenty_noise_statistics_stays_in_its_band() -> None:
    """Picked from twenty, its own interval misses chance more often than one in twenty; the corrected one does not."""
    missed = {"corrected": 0, "plain": 0}
    for run in range(60):
        draw = np.random.default_rng(run)
        coins = Truth(draw.random(200) < 0.5)
        measured = {f"s{i}": [[Target("client-0", draw.normal(size=200), coins)]] for i in range(20)}
        (best,) = examiner.best_of(measured, LABEL)
        assert best.statistic == "best of 20, selected" and not best.headline and best.level == 0.95
        name = best.note.partition(";")[0]
        plain = examiner.membership(measured[name], LABEL)[0]
        assert plain.value == best.value == max(examiner.membership(t, LABEL)[0].value for t in measured.values())  # type: ignore[type-var]
        assert best.low is not None and plain.low is not None and best.low < plain.low
        missed["corrected"] += best.low > 0.5
        missed["plain"] += plain.low > 0.5
    assert missed["plain"] > 15 and missed["corrected"] <= 5


def test_one_statistic_is_no_selection() -> None:
    assert examiner.best_of({"loss": [noise(np.random.default_rng(0), 50)]}, LABEL) == []


def test_federations_of_one_seed_are_averaged_before_seeds_are_compared() -> None:
    draw = np.random.default_rng(1)
    runs = [noise(draw, 300, leak=1.0) for _ in range(6)]
    singles = [examiner.membership([run], LABEL)[0].value for run in runs]
    of_seed = [0, 0, 0, 1, 1, 1]
    found = examiner.membership(runs, LABEL, of_seed)[0]
    by_seed = mean_interval([float(np.mean(singles[:3])), float(np.mean(singles[3:]))], 0.95, (0, 1))  # type: ignore[arg-type]
    assert found.value == pytest.approx(by_seed.value)
    assert found.low <= by_seed.low + 1e-12 and found.high >= by_seed.high - 1e-12
    one_seed = examiner.membership(runs, LABEL, [0] * 6)[0]
    over = mean_interval(singles, 0.95, (0, 1))  # type: ignore[arg-type]
    assert one_seed.low <= over.low + 1e-12 and one_seed.high >= over.high - 1e-12


def test_a_client_that_was_silent_in_some_federations_counts_where_it_spoke() -> None:
    draw = np.random.default_rng(2)
    runs = [noise(draw, 100, ("client-0", "client-1")), noise(draw, 100, ("client-1",))]
    found = examiner.membership(runs, LABEL, [0, 0])
    sizes = {f.target: f.n for f in found if f.metric == "AUC" and f.statistic == "ratio"}
    assert sizes == {"all clients": 300, "client-0": 100, "client-1": 200}
    assert examiner.membership([[], []], LABEL, [0, 0])[0].flag == "error"


def leaky_tenth(seed: int, leak: float, federations: int = 8) -> tuple[list[list[Target]], list[list[Any]]]:
    """Federations with two clients; only the first tenth of each client's candidates leaks at all."""
    draw = np.random.default_rng(seed)
    runs, margins = [], []
    for _ in range(federations):
        targets = noise(draw, 200, ("client-0", "client-1"))
        own = []
        for place, target in enumerate(targets):
            scores = target.scores.copy()
            scores[:20] += leak * target.truth.coins[:20]
            targets[place] = Target(target.name, scores, target.truth)
            own.append(scores)
        runs.append(targets)
        margins.append(own)
    return runs, margins


def test_a_leak_in_a_tenth_is_found_there() -> None:
    runs, margins = leaky_tenth(0, 5.0, 24)
    (found,) = most_vulnerable_tenth(runs, margins, LABEL, [0] * 24)
    everywhere = examiner.membership(runs, LABEL, [0] * 24)[0]
    assert found.target == TENTH and found.n == 24 * 2 * 20
    assert found.value is not None and everywhere.value is not None
    assert found.value > 0.95 > 0.65 > everywhere.value
    assert found.note.startswith("chosen on the other federations alone") and "a note" in found.note


def test_a_tenth_of_noise_is_at_chance() -> None:
    """Choosing by the target's own scores would show a leak; over forty draws the mean must not move from one half."""
    values = []
    for seed in range(40):
        runs, margins = leaky_tenth(seed, 0.0)
        values.append(most_vulnerable_tenth(runs, margins, LABEL, [0] * 8)[0].value)
    mean, error = np.mean(values), np.std(values) / np.sqrt(len(values))  # type: ignore[arg-type]
    assert abs(mean - 0.5) < 4 * error < 0.04


def test_without_other_federations_there_is_no_tenth() -> None:
    runs, margins = leaky_tenth(0, 0.0)
    assert most_vulnerable_tenth(runs[:1], margins[:1], LABEL, [0]) == []
    unknown = [[np.full(200, np.nan)] * 2 for _ in runs]
    assert most_vulnerable_tenth(runs, unknown, LABEL, [0] * 8) == []
