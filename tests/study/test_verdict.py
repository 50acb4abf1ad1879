"""The page on predictions: its runs are matched and found again, and its words say what the intervals do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedprivacy import seeds
from fedprivacy.adversary.knowledge import granted
from fedprivacy.adversary.threat import Truth
from fedprivacy.cli.page import numbers
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.examiner import failed, membership
from fedprivacy.judge.result import Communication, Finding, Interval, PrivacyClaim, Provenance, RunResult
from fedprivacy.judge.target import Label, Target
from fedprivacy.study.resolve import resolve
from fedprivacy.study.verdict.measured import Measured, measure
from fedprivacy.study.verdict.page import figure, page
from fedprivacy.study.verdict.plan import PREDICTIONS, SUM, WEIGHTS, every_series
from fedprivacy.study.verdict.tidied import rows as tidied

NOTHING = Communication(0, 0, 0, 0, 0, ())
NO_CLAIM = PrivacyClaim("record", "add-remove", None, 0.0, "", 0)


class Planted:
    """Federations that learn with their rounds, and leak by protocol, defense and share as told."""

    def __init__(self, effects: Mapping[str, float], broken: str = "", few: Mapping[float, int] | None = None) -> None:
        self.effects, self.broken, self.few = effects, broken, few or {}
        self.targets: dict[str, Target] = {}
        self.trained: list[RunConfig] = []
        self.attacked: list[RunConfig] = []

    def title(self, config: RunConfig) -> str:
        if config.defense.name == "gaussian":
            return "noise"
        return "sum" if config.defense.name != "none" else config.protocol

    def train(self, config: RunConfig) -> tuple[RunResult, Path]:
        self.trained.append(config)
        accuracy = 0.5 + 0.03 * config.rounds if config.protocol == "fedavg" else 0.69
        accuracy -= 0.1 * (config.defense.name == "gaussian")
        return self.result(config, accuracy + 0.001 * config.seed), Path(self.title(config))

    def attack(self, config: RunConfig, run: Path) -> RunResult:
        self.attacked.append(config)
        title, share = self.title(config), config.attack.known_share
        label = Label(title, "server (honest-but-curious)", "joint", 0.95, True)
        if title == self.broken:
            return self.result(config, 0.5, [failed(label, "the attack broke")])
        draw = seeds.numpy_generator(config.seed, title, str(share), config.rounds)
        size = self.few.get(share, 1200)
        coins = draw.random(size) < 0.5
        scores = draw.normal(size=size) + share * self.effects[title] * coins
        target = Target("client-0", scores, Truth(coins, np.arange(size) + size * config.seed), odds=True)
        self.targets[config.digest()] = target
        return self.result(config, 0.5, membership([[target]], label))

    def together(self, attacked: Sequence[tuple[RunConfig, RunResult]]) -> Mapping[str, Mapping[str, Finding]]:
        repetitions = [[self.targets[config.digest()]] for config, _ in attacked]
        pooled = membership(repetitions, Label("what it got", "server", "joint", 0.95, True))
        return {"server": {f.metric: f for f in pooled if f.headline}}

    def result(self, config: RunConfig, accuracy: float, findings: Sequence[object] = ()) -> RunResult:
        known = granted(config.attack, resolve(config).wire)
        found = tuple(replace(one, knowledge=known) for one in findings)  # type: ignore[type-var]
        utility = {"test_accuracy": Interval(accuracy, accuracy, accuracy)}
        told = Provenance({}, 0, 1, 1, 1, 0.0, 6.0, "")
        return RunResult({}, utility, (), NOTHING, NO_CLAIM, found, (), told)


class Unlike(Planted):
    """The same, with less knowledge and a larger epsilon in the last of five seeds."""

    def result(self, config: RunConfig, accuracy: float, findings: Sequence[object] = ()) -> RunResult:
        found = super().result(config, accuracy, findings)
        last = config.seed == BASE.seed + 4
        known = tuple(replace(f, knowledge=f"{f.knowledge} within 4 rounds" if last else f.knowledge)
                      for f in found.findings)  # fmt: skip
        return replace(found, findings=known, privacy=replace(NO_CLAIM, epsilon=3.0 if last else 2.0))


BASE = RunConfig()
LESS = {"fedavg": 4.0, "sum": 2.5, "mutual": 1.0, "noise": 0.0}


def made(effects: Mapping[str, float], count: int = 5, broken: str = "") -> tuple[Measured, Planted]:
    runner = Planted(effects, broken)
    return measure(BASE, count, (0.25, 0.5, 1.0), (8.0,), runner), runner


def test_seeds_that_were_attacked_on_unequal_terms_give_no_number() -> None:
    found = measure(BASE, 5, (1.0,), (8.0,), Unlike(LESS))
    point = found.line(PREDICTIONS).points[1.0]
    assert point.values("AUC") == point.values("TPR@1%FPR") == ()
    assert point.failed.startswith("its seeds were attacked on unequal terms (")
    assert point.failed.endswith(f", in other seeds {point.knowledge.partition(', in other seeds ')[2]})")
    assert "**Predictions are private**: not judged" in page(found, "fedprivacy reproduce verdict", "figure.png")
    assert all(line.epsilon == 3.0 for line in found.lines)
    assert measure(BASE, 4, (1.0,), (8.0,), Unlike(LESS)).line(PREDICTIONS).points[1.0].values("AUC")


def test_where_one_seed_has_too_few_non_members_all_share_a_threshold() -> None:
    shares = (0.1, 0.25, 1.0)
    found = measure(BASE, 5, shares, (8.0,), Planted({**LESS, "mutual": 9.0}, few={0.1: 20, 0.25: 80}))
    none, pooled, own = (found.line(PREDICTIONS).points[share] for share in shares)
    assert none.over_seeds("TPR@1%FPR", 0.95) is None and not none.tpr
    read = pooled.over_seeds("TPR@1%FPR", 0.95)
    assert read is not None and not pooled.tpr and 0.3 < read.value < 0.9 and read.low < read.value < read.high
    assert own.tpr and own.together is None
    text = page(found, "fedprivacy reproduce verdict", "figure.png")
    row = next(line for line in text.splitlines() if line.startswith("| predictions |")).split(" | ")
    assert "below resolution" in row[1] and f"{read.value:.3f} [{read.low:.3f}, {read.high:.3f}] *" in row[2]
    assert "*" not in row[3] and "*: one threshold for all seeds" in text
    tidy = {(one.run, one.metric): one for one in tidied(found)}
    told = tidy["predictions, 12 rounds, 25% known", "TPR@1%FPR"]
    assert (told.value, told.flag, told.note) == (
        read.value,
        "few",
        "one threshold for all seeds; 2 false positives, few",
    )
    assert tidy["predictions, 12 rounds, 10% known", "TPR@1%FPR"].flag == "below"


def words(effects: Mapping[str, float], count: int = 5, broken: str = "") -> str:
    return page(made(effects, count, broken)[0], "fedprivacy reproduce verdict", "figure.png")


def test_averaging_stops_at_equal_accuracy_and_one_training_serves_every_share() -> None:
    found, runner = made(LESS)
    assert found.line(WEIGHTS).rounds == found.line(SUM).rounds == 6  # 0.5 + 6 * 0.03 is nearest to 0.69
    assert found.line(PREDICTIONS).rounds == BASE.rounds
    assert found.rivals["predictions, epsilon 8"].rounds == 3
    assert len({config.digest() for config in runner.trained}) == len(runner.trained)
    shares = {config.attack.known_share for config in runner.attacked}
    assert shares == {0.25, 0.5, 1.0} and {config.attack.adversaries for config in runner.attacked} == {("server",)}
    assert all(config.attack.shadows == 0 for config in runner.attacked)
    assert {one.knowledge for line in found.lines for one in [line.points[1.0]]} == {
        granted(BASE.attack, resolve(BASE).wire)
    }


def test_the_words_are_those_of_the_planted_leaks() -> None:
    text = words(LESS)
    assert "**Predictions are private**: refuted" in text
    for rival in ("weights", "sum of weights"):
        assert f"less than the {rival} of models as accurate**: holds at every share" in text
    assert "no leakage measured with all known" in text
    more = words({**LESS, "mutual": 6.0})
    assert more.count("is refuted at every share of the pool that was tried: they leak more") == 2
    mixed = words({**LESS, "mutual": 2.5})
    assert "less than the weights of models as accurate**: holds at every share" in mixed
    assert "less than the sum of weights of models as accurate**: is open" in mixed


def test_without_leakage_nothing_is_called_private() -> None:
    text = words(dict.fromkeys(LESS, 0.0))
    assert "**Predictions are private**: inconclusive. No leakage was measured, which is no proof" in text
    assert "holds" not in text and "refuted" not in text


def test_one_seed_decides_nothing() -> None:
    text = words(LESS, 1)
    assert "One seed decides nothing" in text and "holds" not in text and "refuted" not in text
    assert "[0.000, 1.000]" not in text and "No leakage was measured" not in text


def test_an_attack_that_fails_is_told_with_its_cause() -> None:
    text = words(LESS, 2, "noise")
    assert "the attack gave no number: the attack broke" in text and "failed: the attack broke" in text
    assert "**Predictions are private**: not judged" in words(LESS, 2, "mutual")


def test_the_figure_is_drawn_and_the_same_twice() -> None:
    found, _ = made(LESS)
    assert figure(found) == figure(found) and figure(found)[:4] == b"\x89PNG"


def test_every_series_is_a_run_that_the_catalog_allows() -> None:
    from fedprivacy.study.verdict.plan import attacked, trained

    for series in every_series():
        config = attacked(trained(BASE, series, 3, 4), BASE, series, 0.5)
        resolve(config)
        assert [name for _, name in resolve(config).seats.observations] == list(series.observations)
        assert (config.seed, config.seeds, config.rounds) == (3, 1, 4)


def test_numbers_are_read_or_refused() -> None:
    assert numbers("--shares", "1, 0.25,0.5", 0, 1) == (0.25, 0.5, 1.0)
    for text in ("", "0", "1.1", "half", "-1", "nan"):
        with pytest.raises(UsageError, match="--shares"):
            numbers("--shares", text, 0, 1)
    assert np.isclose(sum(numbers("--epsilon", "8,4,1", 0, 1e6)), 13)


def test_its_tidy_rows_say_why_a_number_is_missing() -> None:
    rows = tidied(made(LESS, 2, broken="sum")[0])
    lost = [row for row in rows if row.flag == "error"]
    assert lost and all(row.value is None and "the attack broke" in row.note for row in lost)
    known = [row for row in rows if row.metric == "AUC" and row.value is not None]
    assert known and all(row.n == 2 and row.low is not None and row.knowledge for row in known)
