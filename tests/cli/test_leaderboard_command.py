"""``fedprivacy leaderboard``: settings that a run takes, a run that gets on the board, and one that does not."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.study import leaderboard
from fedprivacy.study.recipes import table

Call = Callable[..., Any]


def test_the_settings_are_those_of_the_suite(fedprivacy: Call) -> None:
    printed = tomllib.loads(fedprivacy("leaderboard settings").out)
    assert build(RunConfig, printed, "printed") == leaderboard.suite().config


def test_a_run_gets_on_the_board_by_one_command(
    tmp_path: Path, fedprivacy: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "run --protocol fedavg --no-baselines {small} --attack membership --adversary server --statistic loss"
    assert fedprivacy(line).code == 0
    run = next((tmp_path / "runs").iterdir())
    refused = fedprivacy("leaderboard add --board board --by ours", run)
    assert refused.code == 2 and "other settings than suite 1" in refused.complaint and not Path("board").exists()
    stored = json.loads((run / "result.json").read_text())["config"]
    small = {name: stored[name] for name in ("clients", "rounds", "seeds", "data", "training")}
    suite = leaderboard.Suite(7, table("suite")["digest"], small)
    monkeypatch.setattr(leaderboard, "suite", lambda: suite)
    added = fedprivacy("leaderboard add --board board --by", "A. Name", run / "result.json")
    assert added.code == 0 and "suite 7, AUC: passive server" in added.out, added.err
    assert json.loads(Path("board/fedavg.json").read_text())["measured"][0]["by"] == "A. Name"
    assert "## Suite 7" in Path("board/README.md").read_text()
    assert fedprivacy("leaderboard page --board board").code == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("leaderboard add nothing --by ours", "no run folder"),
        ("leaderboard add nothing --by ' '", "--by"),
        ("leaderboard page --board nowhere", "no entries in nowhere"),
    ],
)
def test_what_cannot_be_is_one_line(line: str, told: str, fedprivacy: Call) -> None:
    ended = fedprivacy(line)
    assert ended.code == 2 and told in ended.complaint
