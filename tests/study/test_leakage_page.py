"""The page on leakage by protocol: compared at one seat with one knowledge, at the accuracy of averaging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedprivacy import seeds
from fedprivacy.adversary.followed import followed
from fedprivacy.adversary.knowledge import granted
from fedprivacy.adversary.position import Adversary
from fedprivacy.adversary.threat import Truth
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.judge.examiner import membership
from fedprivacy.judge.result import Communication, Finding, Interval, PrivacyClaim, Provenance, RunResult
from fedprivacy.judge.target import Label, Target
from fedprivacy.judge.verdicts import STRONGER_KNOWN
from fedprivacy.study.leakage.measured import PROTOCOLS, Measured, attacked, measure, trained
from fedprivacy.study.leakage.page import figure, page, pairs
from fedprivacy.study.leakage.tidied import rows as tidied
from fedprivacy.study.resolve import resolve

SEATS = {"server": "server (honest-but-curious)", "active-server": "server (active)"}
BASE = RunConfig()


class Planted:
    """Federations whose leakage is as told: protocol and adversary -> standard deviations. Those ``alone`` are read one
    record at a time, with a ``note``."""

    def __init__(
        self, effects: Mapping[tuple[str, str], float], alone: Sequence[str] = (), note: str = "", size: int = 1200
    ) -> None:
        self.effects, self.alone, self.note, self.size = effects, alone, note, size
        self.targets: dict[tuple[str, str], Target] = {}

    def train(self, config: RunConfig) -> tuple[RunResult, Path]:
        if config.protocol == "fml":
            raise UsageError("refused")
        accuracy = 0.5 + 0.03 * config.rounds if config.protocol == "fedavg" else 0.59
        return self.result(config, accuracy, []), Path(config.protocol)

    def attack(self, config: RunConfig, run: Path) -> RunResult:
        found: list[Finding] = []
        for name, told in SEATS.items():
            effect = self.effects.get((config.protocol, name))
            if effect is not None:
                effect *= config.attack.known_share
                draw = seeds.numpy_generator(config.seed, config.protocol, name)
                coins = draw.random(self.size) < 0.5
                records = np.arange(self.size) + self.size * config.seed
                scores = draw.normal(size=self.size) + effect * coins
                target = Target("client-0", scores, Truth(coins, records), odds=True)
                self.targets[config.digest(), told] = target
                how = ("ratio", 0.95, True, self.note) if config.protocol in self.alone else ("joint", 0.95, True)
                found += membership([[target]], Label("what it got", told, *how))
        return self.result(config, 0.5, found)

    def together(self, attacked: Sequence[tuple[RunConfig, RunResult]]) -> Mapping[str, Mapping[str, Finding]]:
        pooled = {}
        for told in SEATS.values():
            repetitions = [self.targets.get((config.digest(), told)) for config, _ in attacked]
            if all(repetitions):
                found = membership(
                    [[one] for one in repetitions if one], Label("what it got", told, "joint", 0.95, True)
                )
                pooled[told] = {f.metric: f for f in found if f.headline}
        return pooled

    def result(self, config: RunConfig, accuracy: float, findings: Sequence[Finding]) -> RunResult:
        known = granted(config.attack, resolve(config).wire)
        utility = {"test_accuracy": Interval(accuracy, accuracy, accuracy)}
        claim = PrivacyClaim("record", "add-remove", None, 0.0, "", 0)
        told = Provenance({}, 0, 1, 1, 1, 0.0, 6.0, "")
        found = tuple(replace(one, knowledge=known) for one in findings)
        return RunResult({}, utility, (), Communication(5, 5, 0, 0, 0, ()), claim, found, (), told)


def made(effects: Mapping[tuple[str, str], float], number: int = 5) -> Measured:
    return measure(BASE, ("mutual", "fml", "fedkd"), number, Planted(effects))


class Unlike(Planted):
    """The same, with other knowledge in the last of five seeds."""

    def result(self, config: RunConfig, accuracy: float, findings: Sequence[Finding]) -> RunResult:
        found = super().result(config, accuracy, findings)
        other = tuple(replace(f, knowledge="nothing") for f in found.findings)
        return replace(found, findings=other) if config.seed == BASE.seed + 4 else found


STRONG = {("fedavg", "server"): 3.0, ("mutual", "server"): 1.0, ("fedkd", "server"): 3.0}


def test_seeds_that_were_attacked_on_unequal_terms_give_no_number() -> None:
    found = measure(BASE, ("mutual",), 5, Unlike(STRONG))
    seen = [row for row in found.rows if row.protocol == "mutual"]
    assert [len(row.found["AUC"]) for row in seen] == [4, 1] and seen[1].knowledge == "nothing"
    assert not any(row.values() for row in seen) and not pairs(found, "passive server")
    assert seen[0].cause == "4 of 5 seeds were attacked on these terms"
    assert "failed: 4 of 5 seeds were attacked on these terms" in page(found, "fedprivacy reproduce leakage", "f.png")


def test_each_is_held_against_averaging_at_its_accuracy_from_its_own_seat() -> None:
    found = made({**STRONG, ("mutual", "active-server"): 5.0})
    assert found.nearest == {"mutual": 3, "fedkd": 3}
    held = pairs(found, "passive server")
    assert [(row.protocol, rival.rounds) for row, rival in held] == [("mutual", 3), ("fedkd", 3)]
    assert pairs(found, "active server") == []
    text = page(found, "fedprivacy reproduce leakage", "figure.png")
    assert "**Passive server** learns less than averaging of nearest accuracy: mutual" in text
    assert "**Active server**: nothing to compare" in text and "Refused: fml: refused" in text


def test_more_is_called_more_and_one_seed_nothing() -> None:
    text = page(made({**STRONG, ("mutual", "server"): 6.0}), "command", "figure.png")
    assert "learns more than averaging of nearest accuracy: mutual" in text
    assert "one seed decides nothing" in page(made(STRONG, 1), "command", "figure.png")


@pytest.mark.parametrize(
    ("note", "why"),
    [("", "no stronger one is known here"), (STRONGER_KNOWN, "a stronger one is known and was not run")],
)
def test_less_by_a_weaker_attack_is_undecided_and_more_is_more(note: str, why: str) -> None:
    """Read one record at a time, averaging by joint decoding: nothing follows."""
    for alone in ("mutual", "fedavg"):
        effects = {**STRONG, ("mutual", "server"): 1.0 if alone == "mutual" else 6.0}
        text = page(measure(BASE, ("mutual", "fedkd"), 5, Planted(effects, (alone,), note)), "command", "figure.png")
        assert f"undecided, since read by a weaker attack ({why}): mutual." in text
        assert "less than averaging" not in text and "learns more than averaging" not in text
    text = page(
        measure(BASE, ("mutual", "fedkd"), 5, Planted({**STRONG, ("mutual", "server"): 6.0}, ("mutual",), note)),
        "command",
        "figure.png",
    )
    assert "learns more than averaging of nearest accuracy: mutual" in text and "undecided" not in text


def test_where_one_seed_has_too_few_non_members_all_share_a_threshold() -> None:
    found = measure(BASE, ("mutual", "fedkd"), 5, Planted(STRONG, size=400))
    text = page(found, "command", "figure.png")
    row = next(line for line in text.splitlines() if line.startswith("| mutual |")).split(" | ")
    assert row[4].count("[") == 1 and "*" not in row[4]  # 200 non-members a seed are enough for 1%
    assert row[5].endswith(" *") and 0 < float(row[5].split()[0]) < 1  # 1,000 of five seeds are enough for 0.1%
    tidy = next(one for one in tidied(found) if (one.run, one.metric) == ("mutual", "TPR@0.1%FPR"))
    assert (tidy.flag, tidy.note) == ("few", "one threshold for all seeds; 1 false positive, few")
    assert f"{tidy.value:.3f}" in row[5]
    four = page(measure(BASE, ("mutual",), 4, Planted(STRONG, size=400)), "command", "figure.png")
    assert next(line for line in four.splitlines() if line.startswith("| mutual |")).split(" | ")[5] == "-"


def test_the_figure_is_drawn() -> None:
    for effects in (STRONG, {}):
        assert figure(made(effects, 2))[:4] == b"\x89PNG"


class Untrained:
    """It may not be asked for anything."""

    def train(self, config: RunConfig) -> tuple[RunResult, Path]:
        raise AssertionError("trained before the settings of the attack were looked at")

    def attack(self, config: RunConfig, run: Path) -> RunResult:
        raise AssertionError("attacked before the settings of the attack were looked at")

    def together(self, attacked: Sequence[tuple[RunConfig, RunResult]]) -> Mapping[str, Mapping[str, Finding]]:
        raise AssertionError("judged before the settings of the attack were looked at")


def test_an_attack_that_cannot_be_made_is_told_before_any_training() -> None:
    base = RunConfig(attack=AttackConfig(attacks=("membership",), shadows=2))
    with pytest.raises(UsageError, match="use --shadows 0"):
        measure(base, ("fedkd",), 1, Untrained(), (0.5, 1.0))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_is_attacked_by_what_carries_its_headline_alone(protocol: str) -> None:
    base = RunConfig(attack=AttackConfig(followed=1))
    config = attacked(trained(base, protocol, 2, 12), base, 1.0)
    made = resolve(config).seats.observations
    assert {adversary.name for adversary, _ in made} == set(config.attack.adversaries)
    assert set(config.attack.adversaries) >= {"server"}


def test_a_client_does_not_follow_itself() -> None:
    def by(position: str, clients: int, number: int | None) -> tuple[int, ...]:
        return followed(Adversary(position), resolve(RunConfig(protocol="fedavg", clients=clients)).wire, number)

    assert by("server", 4, 2) == (0, 1) and by("client-0", 4, 2) == (1, 2) and by("client-3", 4, 2) == (0, 1)
    assert by("server", 3, None) == (0, 1, 2) and by("client-1", 3, None) == (0, 2)


def test_its_tidy_rows_hold_the_means_over_seeds() -> None:
    found = made({("mutual", "server"): 1.0, ("fedkd", "server"): 2.0}, 3)
    rows = tidied(found)
    for row in found.rows:
        (auc,) = [r for r in rows if (r.run, r.adversary, r.metric) == (row.name, row.seat, "AUC")]
        assert auc.n == 3 and auc.headline and auc.low is not None and auc.high is not None
        assert auc.low < sum(row.values()) / 3 < auc.high
    accuracies = {row.run: row.value for row in rows if row.kind == "utility"}
    assert accuracies["mutual"] == pytest.approx(0.59) and len(accuracies) == len({row.name for row in found.rows})


def test_less_of_the_pool_known_is_a_table_beside_and_is_held_against_its_own() -> None:
    runner = Planted(STRONG)
    whole, both = (measure(BASE, ("mutual", "fedkd"), 3, runner, shares) for shares in ((1.0,), (0.25, 1.0)))
    text = page(both, "command", "figure.png")
    assert "| protocol | 25% | 100% |" in text and "Less of the pool" not in page(whole, "command", "figure.png")
    assert [(row.name, row.values()) for row in both.best_known] == [(row.name, row.values()) for row in whole.rows]
    assert pairs(both, "passive server")[0][0].values() == pairs(whole, "passive server")[0][0].values()
    for row in both.rows:
        rival = both.rival(row)
        assert rival is None or (rival.share, rival.knowledge) == (row.share, row.knowledge)
    (line,) = [line for line in text.splitlines() if line.startswith("| mutual | 0.") and ";" in line]
    less, more = (float(part.split()[0]) for part in line.split(" | ")[1:3])
    assert less < more
    assert len({row.knowledge for row in tidied(both) if row.headline}) == 2
