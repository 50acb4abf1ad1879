"""Runs are held against each other at one seat with one knowledge, seed by seed, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fedprivacy import seeds
from fedprivacy.adversary.knowledge import granted
from fedprivacy.adversary.position import Adversary, seat
from fedprivacy.adversary.threat import Truth
from fedprivacy.attacks.membership import headline
from fedprivacy.config.run import RunConfig
from fedprivacy.judge import comparison
from fedprivacy.judge.examiner import membership
from fedprivacy.judge.result import Communication, Finding, Interval, PrivacyClaim, Provenance, RunResult, from_json
from fedprivacy.judge.target import Label, Target
from fedprivacy.judge.verdicts import STRONGER_KNOWN
from fedprivacy.judge.weaker import JOINT, NONE_KNOWN
from fedprivacy.study.resolve import resolve

NOTHING = Communication(0, 0, 0, 0, 0, ())


def result(findings: Sequence[Finding], **config: object) -> RunResult:
    settings = {**RunConfig().model_dump(mode="json"), **config}
    claim = PrivacyClaim("record", "add-remove", None, 0.0, "", 0)
    told = Provenance({}, 0, 1, 1, 1, 0.0, 0.0, "")
    utility = {"test_accuracy": Interval(0.8, 0.8, 0.8)}
    return RunResult(settings, utility, (), NOTHING, claim, tuple(findings), (), told)


def attacked(**changes: object) -> dict[str, object]:
    return {**RunConfig().attack.model_dump(mode="json"), **changes}


def leak(
    effect: float, adversary: str, repetitions: int = 4, statistic: str = "ratio", **more: object
) -> list[Finding]:
    """Findings on scores that are ``effect`` standard deviations higher for members."""
    runs = []
    for number in range(repetitions):
        draw = seeds.numpy_generator(7, "comparison", statistic, adversary, number, str(effect))
        coins = draw.random(600) < 0.5
        runs.append([Target("client-0", draw.normal(size=600) + effect * coins, Truth(coins))])
    label = Label("weights", adversary, statistic, 0.95, bool(more.get("headline", True)))
    return [replace(f, knowledge=str(more.get("knowledge", "the start"))) for f in membership(runs, label)]


SERVER, ACTIVE, PEER = "server (honest-but-curious)", "server (active)", "client-0 (honest-but-curious)"


def judged(*results: RunResult) -> dict[str, str]:
    names = [f"run {place}" for place in range(len(results))]
    found = [v for table in comparison.tables(results, names) for v in comparison.verdicts(table)]
    return {v.claim: v.verdict for v in found}


def test_less_and_more_at_one_seat() -> None:
    weak, strong = result(leak(0.3, SERVER)), result(leak(2.0, SERVER))
    claim = "run 1 tells the passive server less of who was trained on than run 0"
    assert judged(strong, weak) == {claim: "supported"}
    assert judged(weak, strong) == {claim: "refuted"}


def test_unequal_power_or_knowledge_is_never_a_comparison() -> None:
    passive, active = result(leak(0.3, SERVER)), result(leak(2.0, ACTIVE))
    assert judged(passive, active) == {}
    assert "No active server was run against run 0" in comparison.unequal([passive, active], ["run 0", "run 1"])[0]
    half = result(leak(2.0, SERVER, knowledge="half of the pool"))
    assert judged(passive, half) == {}
    both = result([*leak(0.3, SERVER), *leak(2.0, ACTIVE)])
    assert judged(both) == {}


def test_one_seed_and_another_game_decide_nothing() -> None:
    one, other = result(leak(0.3, SERVER, 1)), result(leak(2.0, SERVER, 1))
    assert set(judged(one, other).values()) == {"inconclusive"}
    moved = result(leak(2.0, SERVER), clients=7)
    table = comparison.tables([result(leak(0.3, SERVER)), moved], ["a", "b"])[0]
    (verdict,) = comparison.verdicts(table)
    assert verdict.verdict == "inconclusive" and "differ in clients" in verdict.why


def test_other_records_are_another_game_also_under_the_same_partition() -> None:
    for setting in ({"alpha": 0.1}, {"schedule": "fresh"}, {"limit": 900}):
        data = {**RunConfig().data.model_dump(mode="json"), **setting}
        assert set(judged(result(leak(0.3, SERVER)), result(leak(2.0, SERVER), data=data)).values()) == {"inconclusive"}


def test_a_planted_share_is_power_at_an_active_seat_alone() -> None:
    less = attacked(planted_share=0.1)
    (active,) = judged(result(leak(2.0, ACTIVE)), result(leak(0.3, ACTIVE), attack=less)).values()
    (passive,) = judged(result(leak(2.0, SERVER)), result(leak(0.3, SERVER), attack=less)).values()
    assert (active, passive) == ("inconclusive", "supported")
    asked = result(leak(0.3, SERVER), attack=attacked(headline="loss"))
    assert set(judged(result(leak(2.0, SERVER)), asked).values()) == {"inconclusive"}


def test_a_row_on_which_a_stronger_attack_was_left_out_has_not_been_shown_to_tell_less() -> None:
    def spared(effect: float) -> RunResult:
        return result([replace(f, note=f"default; {STRONGER_KNOWN}: joint decoding") for f in leak(effect, SERVER)])

    weak, strong = result(leak(0.3, SERVER)), result(leak(2.0, SERVER))
    table = comparison.tables([strong, spared(0.3)], ["a", "b"])[0]
    (verdict,) = comparison.verdicts(table)
    assert verdict.verdict == "inconclusive" and f"on b {STRONGER_KNOWN}" in verdict.why
    assert list(judged(spared(0.3), strong).values()) == ["inconclusive"]
    # It tells more all the same, and two rows that were both spared are on equal terms.
    assert list(judged(weak, spared(2.0)).values()) == ["refuted"]
    assert list(judged(spared(2.0), weak).values()) == ["supported"]
    assert list(judged(spared(2.0), spared(0.3)).values()) == ["supported"]


def test_one_record_at_a_time_is_not_less_than_all_candidates_together() -> None:
    """Whether a stronger attack is known or not: nothing is said of what was sent."""
    alone, together = (
        result(leak(*how, statistic=name)) for how, name in (((0.3, SERVER), "ratio"), ((2.0, SERVER), "joint"))
    )
    for pair in ((together, alone), (alone, together)):
        table = comparison.tables(list(pair), ["a", "b"])[0]
        (verdict,) = comparison.verdicts(table)
        assert verdict.verdict == "inconclusive" and NONE_KNOWN in verdict.why
    quiet, loud = result(leak(0.3, SERVER, statistic="joint")), result(leak(2.0, SERVER))
    assert list(judged(loud, quiet).values()) == ["supported"]
    assert list(judged(quiet, loud).values()) == ["refuted"]
    assert JOINT == headline.JOINT


def test_nothing_to_tell_apart_is_called_apart_as_rarely_as_stated() -> None:
    """Two protocols that leak alike: at 95% one comparison in twenty may err."""
    wrong = 0
    for number in range(60):
        pair = [result(leak(0.5, SERVER, 5, f"s{number}-{side}")) for side in range(2)]
        wrong += set(judged(*pair).values()) != {"inconclusive"}
    assert wrong <= 9  # a binomial with p .05 exceeds this once in 1,000


def test_a_stack_stands_beside_the_headline_and_decides_nothing() -> None:
    first = result([*leak(0.3, SERVER), *leak(2.0, SERVER, statistic="stack", headline=False)])
    second = result([*leak(2.0, SERVER), *leak(0.3, SERVER, statistic="stack", headline=False)])
    (table,) = comparison.tables([first, second], ["a", "b"])
    assert [row.auc.statistic for row in table.rows] == ["ratio", "ratio"]
    (verdict,) = comparison.verdicts(table)
    assert verdict.verdict == "refuted" and "all signals stacked: -" in verdict.why


def test_seats() -> None:
    for name, place in {
        "server": "passive server",
        "active-server": "active server",
        "client-3": "passive peer",
        "client-0": "passive peer",
        "eavesdropper": "eavesdropper",
    }.items():
        assert seat(str(Adversary.parse(name))) == place
    for words in ("reader of these scores", "server", "server (mighty)"):
        with pytest.raises(ValueError):
            seat(words)


def test_every_setting_of_what_is_known_shows_in_the_words() -> None:
    base = RunConfig()
    attack = base.attack
    changed = [
        base.model_copy(update={"attack": attack.model_copy(update={"known_share": 0.5})}),
        base.model_copy(update={"attack": attack.model_copy(update={"effort": "thorough"})}),
        base.model_copy(update={"attack": attack.model_copy(update={"attacks": ("membership",), "shadows": 4})}),
        base.model_copy(update={"data": base.data.model_copy(update={"auxiliary": 100})}),
        base.model_copy(update={"training": base.training.model_copy(update={"init": "independent"})}),
    ]
    words = [granted(config.attack, resolve(config).wire) for config in (base, *changed)]
    assert len(set(words)) == len(words)
    averaged = changed[-1].model_copy(update={"protocol": "fedavg"})
    shared = base.model_copy(update={"protocol": "fedavg"})
    assert granted(averaged.attack, resolve(averaged).wire) == granted(shared.attack, resolve(shared).wire)


def test_values_by_seed_survive_the_file() -> None:
    stored = result(leak(0.3, SERVER))
    again = from_json(stored.to_json())
    assert again == stored
    auc = again.findings[0]
    assert len(auc.per_seed) == 4 and auc.value == pytest.approx(np.mean(auc.per_seed))
