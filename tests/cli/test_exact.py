"""``--exact`` reaches the plan of every command that trains shadow federations."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fedprivacy.cli.main import cli
from fedprivacy.config.base import UsageError
from fedprivacy.study import run as runs
from fedprivacy.study.audit import run as audits

SMALL = ["--dataset", "digits", "--candidates", "30", "--public-size", "8", "--auxiliary", "20", "--rounds", "1"]
UNIFORM = ["--set", "weighting=uniform"]
ATTACKED = ["--attack", "membership", "--shadows", "2"]
COMMANDS = [
    ["run", "--protocol", "fedavg", *ATTACKED, *SMALL],
    ["compare", "fedavg", *ATTACKED, *SMALL],
    ["sweep", "--epsilon", "8", "--defense", "dp-sgd", "--protocol", "fedavg", *UNIFORM, *ATTACKED, *SMALL],
    ["audit", "--defense", "dp-sgd", "--epsilon", "4", "--protocol", "fedavg", *UNIFORM, "--shadows", "2", *SMALL],
    ["reproduce", "frontier", "--rounds", "1"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
@pytest.mark.parametrize("exact", [True, False])
def test_the_plan_says_it(words: list[str], exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[runs.Plan] = []

    def carried_out(study: object, plan: runs.Plan, *_: object) -> None:
        plans.append(plan)
        raise UsageError("that is enough.")

    monkeypatch.setattr(runs, "carried_out", carried_out)
    monkeypatch.setattr(audits, "audit", carried_out)
    ended = CliRunner().invoke(cli, [*words, "--out", str(tmp_path), *(["--exact"] if exact else [])])
    assert {plan.exact for plan in plans} == {exact}, ended.exception
