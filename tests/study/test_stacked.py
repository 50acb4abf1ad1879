"""The stack of a run: learned on shadow federations alone, so the coins of what it judges change none of its scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fedprivacy.adversary.threat import Signals
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import RunResult
from fedprivacy.study.membership import kept as room
from fedprivacy.study.membership import stacked as module
from fedprivacy.study.membership.kept import Kept
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute

Configure = Callable[..., RunConfig]


@pytest.fixture
def configured(small_config: Configure) -> Configure:
    def make(shadows: int, **attack: Any) -> RunConfig:
        given = {"attacks": ("membership",), "adversaries": ("server",), "shadows": shadows, **attack}
        return small_config(protocol="fedavg", rounds=2, attack=given)

    return make


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[module.Bank]:
    """The banks that runs judge."""
    found: list[module.Bank] = []
    judged = module._judged

    def watched(bank: module.Bank) -> Any:
        found.append(bank)
        return judged(bank)

    monkeypatch.setattr(module, "_judged", watched)
    return found


def ran(config: RunConfig, place: Path) -> RunResult:
    return execute(config, Plan(place / config.digest(), baselines=False))


def test_it_stands_beside_the_headline_and_knows_no_coin_of_its_target(
    configured: Configure, tmp_path: Path, kept: list[module.Bank]
) -> None:
    result = ran(configured(2, statistics=("stack", "joint")), tmp_path)
    (auc,) = [f for f in result.findings if (f.statistic, f.metric, f.target) == ("stack", "AUC", "all clients")]
    assert auc.observation == module.EVERYTHING and not auc.headline and "shadow federations" in auc.note
    assert "2 observations" in auc.note  # joint decoding of the shadows too
    assert {f.statistic for f in result.findings if f.headline} == {"joint"}
    (bank,) = kept
    ((before,), _) = module._judged(bank)
    flipped = replace(bank, coins=[~bank.coins[0], *bank.coins[1:]], kept=Kept())
    ((after,), _) = module._judged(flipped)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        assert (one.truth.coins == ~other.truth.coins).all()
    taught = replace(bank, coins=[bank.coins[0], *(~coins for coins in bank.coins[1:])], kept=Kept())
    ((otherwise,), _) = module._judged(taught)
    assert not np.array_equal(otherwise[0].scores, before[0].scores)


def test_of_a_bank_each_group_is_judged_by_the_others(
    configured: Configure, tmp_path: Path, kept: list[module.Bank]
) -> None:
    """Flipping the coins of one federation moves none of its own scores, as a target of a bank of seven."""
    bank_of = configured(6, targets="bank", statistics=("stack", "ratio"), observations=("uploaded-weights",))
    ran(bank_of, tmp_path)
    (bank,) = kept
    before, _ = module._judged(bank)
    assert len(before) == 7
    for chosen in (0, 5):
        coins = [~one if number == chosen else one for number, one in enumerate(bank.coins)]
        after, _ = module._judged(replace(bank, coins=coins, kept=Kept()))
        for one, other in zip(before[chosen], after[chosen], strict=True):
            np.testing.assert_allclose(one.scores, other.scores)


def test_columns_that_findings_left_are_those_that_the_stack_would_make(
    configured: Configure, tmp_path: Path, kept: list[module.Bank]
) -> None:
    ran(configured(6, targets="bank", observations=("uploaded-weights",)), tmp_path)
    (bank,) = kept
    (name, chosen), *_ = bank.targets()
    for number in range(7):
        assert bank.kept.get((0, "uploaded weights", number, name)) is not None
        others = [k for k in range(7) if k != number]
        left, made = (one.columns(number, others, name, chosen) for one in (bank, replace(bank, kept=Kept())))
        assert left.keys() == made.keys()
        for signal, values in made.items():
            np.testing.assert_array_equal(left[signal], values)


def test_columns_are_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROOM", 5)
    monkeypatch.setattr(room, "columns", lambda signals, rule: {"loss": np.zeros(3)})
    few = Kept()
    made = [few.made((0, "a", number, "b"), cast("Signals", None), "mean") for number in range(2)]
    assert all(set(one) == {"loss"} for one in made)
    assert few.get((0, "a", 0, "b")) is made[0] and few.get((0, "a", 1, "b")) is None


def test_it_may_be_the_declared_headline(configured: Configure, tmp_path: Path) -> None:
    result = ran(configured(2, headline="stack", observations=("uploaded-weights",)), tmp_path)
    assert {f.statistic for f in result.findings if f.headline} == {"stack"}
    assert [v.why for v in result.verdicts if "stack on all that it received" in v.why]


def test_without_shadows_it_is_refused_where_asked_for_and_else_not_offered(
    configured: Configure, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="--shadows"):
        resolve(configured(0, statistics=("stack",)))
    result = ran(configured(0, observations=("uploaded-weights",)), tmp_path)
    assert not [f for f in result.findings if f.statistic == "stack"]
