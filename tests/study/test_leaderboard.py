"""The leaderboard: one suite a table, the strongest attack shown, strangers welcome, and their names only shown."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fedprivacy.attacks.version import NAME
from fedprivacy.config.base import UsageError
from fedprivacy.judge.result import Communication, Finding, Interval, PrivacyClaim, Provenance, RunResult
from fedprivacy.reporting import schema
from fedprivacy.reporting.leaderboard import Reported, document
from fedprivacy.reporting.markdown import document_to_markdown
from fedprivacy.study import leaderboard

REPOSITORY = Path(__file__).resolve().parents[2]
BOARD = REPOSITORY / "reports" / "leaderboard"


def finding(auc: float | None, **changes: Any) -> Finding:
    base = Finding(
        "membership", "joint updates", "joint", "server (honest-but-curious)", "all clients", "AUC",
        auc, 0.5, None if auc is None else auc - 0.03, None if auc is None else auc + 0.03, 0.95, 600, 0.47, 0.53,
        300, 300, headline=True, knowledge="all of each pool; effort default",
    )  # fmt: skip
    return replace(base, **changes)


def result(protocol: str, auc: float | None = 0.9, settings: dict[str, Any] | None = None, **changes: Any) -> RunResult:
    config = leaderboard.suite().config.model_dump(mode="json") | {"protocol": protocol} | (settings or {})
    told = Provenance({"fedprivacy": "0.1.0", NAME: "abcd1234"}, 0, 3, 2, 1, 1.0, 1.0, "data")
    return RunResult(
        config,
        {"test_accuracy": Interval(0.9, 0.88, 0.92, n=3, over="seeds")},
        (),
        Communication(1000, 2000, 0, 0, 0, ()),
        PrivacyClaim("record", "add-remove", None, 1e-5, "none", 3),
        (finding(auc, **changes), finding(0.99, headline=False, statistic="loss")),
        (),
        told,
    )


def page(board: Path) -> str:
    return (board / leaderboard.PAGE).read_text()


def test_the_suite_is_the_one_of_its_version() -> None:
    suite = leaderboard.suite()
    settings = leaderboard.fixed(suite.config.model_dump(mode="json"))
    told = (
        "the suite, or a default behind it, has changed: its numbers are others, so raise version and digest together"
    )
    assert leaderboard.digest_of(settings) == suite.digest, told
    assert settings["data.dataset"] == "digits" and not any(name.startswith("attack") for name in settings)


def test_added_results_stand_least_leakage_first_with_their_declared_number(tmp_path: Path) -> None:
    leaderboard.add(result("fedavg", 0.95), tmp_path, "ours")
    leaderboard.add(result("mutual", 0.71), tmp_path, "ours")
    shown = page(tmp_path)
    assert shown.index("| mutual | 0.710 [0.68, 0.74]") < shown.index("| fedavg | 0.950 [0.92, 0.98]")
    assert "0.99" not in shown, "what was not declared before the run is no result"
    content = json.loads((tmp_path / "fedavg.json").read_text())
    jsonschema.validate(content, schema.stored("leaderboard"))
    assert content["measured"][0]["attacks"] == "abcd1234" and content["source"].startswith("McMahan")


def test_a_strangers_stronger_attack_is_shown_and_ours_kept(tmp_path: Path) -> None:
    leaderboard.add(result("fedavg", 0.9), tmp_path, "ours")
    leaderboard.add(result("fedavg", 0.97, statistic="mine.py:Score"), tmp_path, "A. Stranger | <b>")
    leaderboard.add(result("fedavg", 0.6, statistic="weak.py:Score"), tmp_path, "B. Weaker")
    shown = page(tmp_path)
    assert "| fedavg | 0.970 [0.94, 1.00] | - | Score on joint updates, abcd1234" in shown
    assert r"A. Stranger \| \<b\>, 3 seeds" in shown and "0.600" not in shown
    assert len(leaderboard.read(tmp_path / "fedavg.json").measured) == 3
    leaderboard.add(result("fedavg", 0.91), tmp_path, "ours")
    assert [m.seats[0].auc for m in leaderboard.read(tmp_path / "fedavg.json").measured if m.by == "ours"] == [0.91]


def test_a_strangers_protocol_gets_an_entry_of_its_own(tmp_path: Path) -> None:
    path, _ = leaderboard.add(result("theirs/mine.py:Proto", 0.8), tmp_path, "A. Stranger")
    assert path == tmp_path / "proto.json" and leaderboard.read(path).source == "run by A. Stranger"
    with pytest.raises(UsageError, match="rename"):
        leaderboard.add(result("other.py:PROTO", 0.8), tmp_path, "B. Stranger")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rounds": 12}, r"rounds = 12 \(suite: 3\)"),
        ({"canaries": {"kind": "orthogonal"}}, "canaries.kind = orthogonal"),
    ],
)
def test_another_game_is_refused(settings: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        leaderboard.add(result("fedavg", settings=settings), tmp_path, "ours")
    assert not list(tmp_path.iterdir())


def test_versions_of_the_suite_and_knowledge_never_share_a_table() -> None:
    new, old = leaderboard.measured(result("fedavg", 0.9), "ours"), leaderboard.measured(result("fedavg", 0.7), "ours")
    knows = leaderboard.measured(result("fedavg", 0.99, knowledge="half of each pool; effort default"), "ours")
    entry = leaderboard.Entry("fedprivacy/leaderboard/1", "fedavg", "t", "s", (), (new, knows, replace(old, suite=0)))
    shown = document(([entry]), 1)
    tables = [block for section in shown.sections for block in section.blocks if hasattr(block, "rows")]
    assert [len(table.rows) for table in tables] == [1, 1, 1]  # type: ignore[union-attr]
    assert [section.title for section in shown.sections] == ["How to read it", "Suite 1", "Suite 0"]


def test_reported_numbers_stand_apart_and_survive_an_addition(tmp_path: Path) -> None:
    path, _ = leaderboard.add(result("fedavg", 0.9), tmp_path, "ours")
    said = Reported("test accuracy", "92.65%", "face masks", "Gupta 2025")
    leaderboard.write(path, replace(leaderboard.read(path), reported=(said,)))
    leaderboard.add(result("fedavg", 0.92), tmp_path, "ours")
    shown = page(tmp_path)
    assert shown.index("## As their papers report") > shown.index("## Suite 1") and "92.65%" in shown


def test_a_failed_attack_and_none_at_all_are_told(tmp_path: Path) -> None:
    leaderboard.add(result("fedavg", None, flag="error", note="it broke"), tmp_path, "ours")
    leaderboard.add(replace(result("local"), findings=()), tmp_path, "ours")
    shown = page(tmp_path)
    assert "No number: fedavg, passive server: it broke." in shown and "was attacked: local." in shown


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": "fedprivacy/leaderboard/2"}', "not json"])
def test_a_file_that_is_no_entry_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(Exception, match=r"x\.json"):
        leaderboard.entries(tmp_path)


def test_the_board_in_the_repository_is_valid_and_its_page_up_to_date() -> None:
    found = leaderboard.entries(BOARD)
    assert {entry.protocol for entry in found} >= {"fedavg", "mutual"}
    for path in BOARD.glob("*.json"):
        jsonschema.validate(json.loads(path.read_text()), schema.stored("leaderboard"))
    made = document_to_markdown(document(found, leaderboard.suite().version))
    assert (BOARD / leaderboard.PAGE).read_text() == made, "run: fedprivacy leaderboard page"


def test_additions_take_turns_so_that_the_page_is_one_of_all_entries(tmp_path: Path) -> None:
    board, code = tmp_path / "board", "import sys; from fedprivacy import lock; from pathlib import Path\n"
    code += "path = lock.beside(Path(sys.argv[1]))\nwith lock.held(path): print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(board)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == "held\n"
        adding = threading.Thread(target=leaderboard.add, args=(result("fedavg"), board, "A. Name"))
        adding.start()
        adding.join(0.2)
        assert adding.is_alive() and not board.exists()
        other.stdin.write("\n")
        other.stdin.flush()
        adding.join()
    assert "A. Name" in page(board) and not list(tmp_path.glob(".*"))
