"""Which of an adversary's observations carries its one headline, and which statistics are themselves at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedprivacy.adversary.observations import OBSERVATIONS
from fedprivacy.adversary.threat import References, Signals
from fedprivacy.attacks.membership import headline
from fedprivacy.attacks.membership.assemble import score_target
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.study.every import silent
from fedprivacy.study.resolve import resolve


def test_every_adversary_of_every_protocol_has_one_headline() -> None:
    for protocol in CARDS:
        config = RunConfig(protocol=protocol, attack=AttackConfig(attacks=("membership",)))
        if silent(protocol):
            continue
        known = resolve(config).seats.observations
        for adversary in {other for other, _ in known}:
            names = [name for other, name in known if other == adversary]
            assert headline.declared(names) in names


def test_the_order_names_observations_that_exist() -> None:
    assert set(headline.ORDER) - {"traps"} <= set(OBSERVATIONS)


@pytest.mark.parametrize(
    ("names", "asked", "declared"),
    [
        (("uploaded-weights", "joint-updates"), None, "joint-updates"),
        (("uploaded-weights", "joint-updates"), "ratio", "uploaded-weights"),
        (("uploaded-weights", "joint-updates"), "joint", "joint-updates"),
        (("probes", "joint-predictions"), None, "joint-predictions"),
        (("surrogate", "probes"), None, "probes"),
        (("joint-updates", "traps"), None, "traps"),
        (("joint-probes", "probes"), "ratio", "probes"),
        (("surrogate", "global-model"), None, "surrogate"),
        (("joint-updates",), "ratio", "joint-updates"),
    ],
)
def test_the_order_is_fixed_by_names(names: tuple[str, ...], asked: str | None, declared: str) -> None:
    assert headline.declared(names, asked) == declared
    if declared in headline.ORDER:
        assert headline.declared(names[::-1], asked) == declared


def test_a_row_is_what_it_is_called_or_is_not_shown(drawn_signals: Callable[[int], Signals]) -> None:
    several = score_target(drawn_signals(4), AttackConfig(combine="last"))
    assert {"fedmia", "trajectory", "coop-lira"} <= set(several.scores)
    for name, one in several.scores.items():
        for other, values in several.scores.items():
            assert name >= other or not np.array_equal(one, values), f"{name} is {other} under another name"
    averaged = score_target(drawn_signals(4), AttackConfig(combine="mean"))
    assert "fedmia" not in averaged.scores and "trajectory" in averaged.scores
    np.testing.assert_array_equal(averaged.scores["coop-lira"], several.scores["fedmia"])
    single = score_target(drawn_signals(1), AttackConfig())
    assert not {"fedmia", "trajectory"} & set(single.scores)


def test_without_shadows_lira_is_called_by_what_its_references_are(
    drawn_signals: Callable[[int], Signals],
) -> None:
    signals = drawn_signals(4)
    assert signals.references is not None
    never = signals.references.included.any(axis=1) < 1
    assert never.any() and not never.all()
    others = replace(
        signals,
        references=References(signals.references.logp[never], np.zeros_like(signals.references.included[never])),
    )
    found = score_target(others, AttackConfig())
    assert "coop-lira" in found.scores and "lira-offline" not in found.scores
    asked = score_target(others, AttackConfig(headline="lira-offline"))
    np.testing.assert_array_equal(asked.scores["lira-offline"], asked.scores["coop-lira"])
    assert "lira-offline" in score_target(signals, AttackConfig()).scores


def test_a_statistic_that_is_asked_for_alone_is_shown(drawn_signals: Callable[[int], Signals]) -> None:
    alone = score_target(drawn_signals(4), AttackConfig(statistics=("fedmia", "ratio")))
    assert list(alone.scores) == ["fedmia", "ratio"]
    refused = score_target(drawn_signals(1), AttackConfig(statistics=("trajectory", "ratio")))
    assert "several-rounds" in str(refused.scores["trajectory"])
