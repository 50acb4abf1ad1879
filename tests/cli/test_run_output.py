"""What `run` prints and how it ends: tables, JSON, thresholds, runs that are found again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedprivacy import folder
from fedprivacy.judge.result import from_json
from fedprivacy.study.membership.measured import DONE
from fedprivacy.training.learner import Learner

Call = Callable[..., Any]
RUN = "run --protocol mutual --attack membership {small} --no-baselines"


def test_json_is_all_that_is_printed_and_equals_the_stored_result(fedprivacy: Call, tmp_path: Path) -> None:
    ended = fedprivacy(f"{RUN} --format json")
    assert ended.code == 0 and ended.err == ""
    content = json.loads(ended.out)
    (stored,) = tmp_path.glob("runs/*/result.json")
    assert content == folder.read_json(stored)
    assert list(content) == [
        "schema",
        "config",
        "utility",
        "baselines",
        "communication",
        "privacy",
        "findings",
        "verdicts",
        "provenance",
        "audit",
        "cards",
    ]
    assert {"test_accuracy", "test_loss"} <= set(content["utility"])
    assert {"mean", "low", "high", "per_client"} <= set(content["utility"]["test_accuracy"])
    assert {"up_bytes", "down_bytes", "public_bytes", "per_round"} <= set(content["communication"])
    assert {"unit", "relation", "epsilon", "delta", "accountant"} <= set(content["privacy"])
    for finding in content["findings"]:
        assert {"attack", "observation", "statistic", "adversary", "target", "metric", "value", "chance"} <= set(
            finding
        )
        assert {"low", "high", "level", "n", "false_positives"} <= set(finding)
    assert from_json(content).to_json() == content


def test_the_table_shows_both_adversaries_with_chance_and_what_is_below_resolution(fedprivacy: Call) -> None:
    ended = fedprivacy(f"{RUN} --full")
    assert ended.code == 0 and "1 federation, 2 steps in all" in ended.err
    for words in ("server (active)", "server (honest-but-curious)", "planted probes", "distilled surrogate"):
        assert words in ended.out
    assert "TPR at 0.1% FPR is '-'" in " ".join(ended.out.split()) and "below resolution" in ended.out
    assert "Epsilon is infinite" in ended.out and "Run folder: " in ended.out


def test_the_short_table_is_one_of_verdicts_first(fedprivacy: Call) -> None:
    ended = fedprivacy(RUN)
    lines = ended.out.splitlines()
    assert lines[2].startswith("What each adversary learned") and lines[3].startswith("- server (active): ")
    assert "epsilon        infinite" in ended.out and "--full" in lines[-1] and "0.1%" not in ended.out


def test_a_finished_run_is_found_again_and_not_trained_twice(fedprivacy: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fedprivacy(f"{RUN} --format json")

    def fit(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Learner, "fit", fit)
    second = fedprivacy(f"{RUN} --format json")
    assert second.out == first.out and second.code == 0
    assert "nothing to train" in second.err and second.err.count("\n") == 1
    again = fedprivacy(f"{RUN} --format json --fresh")
    assert again.code == 3 and "trained again" in again.complaint


@pytest.mark.parametrize(
    ("limit", "code", "words"),
    [
        ("auc=0.99", 0, ""),
        ("auc=0.01", 1, "above the limit: AUC"),
        ("AUC = 0.01", 1, "above the limit: AUC"),
        ("tpr@10%fpr=0", 1, "above the limit: TPR@10%FPR"),
        ("tpr@0.1%fpr=0.5", 1, "no number for the limit"),
    ],
)
def test_a_stated_threshold_decides_the_exit_code(limit: str, code: int, words: str, fedprivacy: Call) -> None:
    ended = fedprivacy(f"{RUN} --format json --candidates 220", "--fail-above", limit)
    assert ended.code == code
    assert json.loads(ended.out)["schema"] == "fedprivacy/1"
    assert all(line.startswith("fedprivacy: ") and words in line for line in ended.err.splitlines())
    assert bool(ended.err) == bool(code)


def test_a_threshold_holds_for_the_statistic_that_was_asked_for(fedprivacy: Call) -> None:
    """Asked for one statistic, that one is the headline, and not an absent default."""
    ended = fedprivacy(f"{RUN} --format json --statistic loss --candidates 220 --fail-above auc=0.01")
    assert ended.code == 1 and "loss)" in ended.err
    found = json.loads(ended.out)["findings"]
    assert {f["statistic"] for f in found if f["headline"]} == {"loss"}


def test_a_statistic_without_its_references_is_a_row_with_the_cause(fedprivacy: Call) -> None:
    ended = fedprivacy(f"{RUN} --no-coop --format json --statistic loss,coop-lira")
    assert ended.code == 0
    rows = [f for f in json.loads(ended.out)["findings"] if f["statistic"] == "coop-lira"]
    assert len(rows) == 3 and {f["adversary"] for f in rows} == {"server (active)", "server (honest-but-curious)"}
    for row in rows:
        assert row["flag"] == "error" and row["value"] is None and "never-trained" in row["note"]
    shown = fedprivacy(f"{RUN} --full --no-coop --statistic loss,coop-lira")
    assert "coop-lira" in shown.out and "never-trained" in shown.out


def test_a_statistic_that_only_shadows_can_serve_is_refused_at_once(fedprivacy: Call) -> None:
    ended = fedprivacy(f"{RUN} --statistic loss,lira-online")
    assert (ended.code, ended.out) == (2, "") and "--shadows" in ended.err


def test_shadows_that_no_attack_reads_are_refused_at_once(fedprivacy: Call) -> None:
    ended = fedprivacy("run --protocol fedavg --shadows 2 --rounds 1")
    assert (ended.code, ended.out) == (2, "") and "add --attack membership" in ended.err


def test_flags_win_over_the_file_and_the_file_over_defaults(fedprivacy: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("rounds = 1\nseed = 5\n[training]\nlr = 0.01\n[options]\npublic_epochs = 2\n")
    ended = fedprivacy("run {small} --config mine.toml --rounds 2 --no-baselines --format json --set kl-weight=0.5")
    config = json.loads(ended.out)["config"]
    assert (config["rounds"], config["seed"], config["training"]["lr"]) == (2, 5, 0.01)
    assert config["options"] == {"public_epochs": 2, "kl_weight": 0.5}
    (stored,) = tmp_path.glob("runs/*/config.toml")
    again = fedprivacy(f"run --config {stored} --workers 1 --no-baselines --format json --out again")
    assert json.loads(again.out)["config"] == config
    assert json.loads(again.out)["utility"] == json.loads(ended.out)["utility"]


def test_another_protocols_setting_is_refused(fedprivacy: Call) -> None:
    ended = fedprivacy("run --protocol fedavg {small} --set kl=literal")
    assert ended.code == 2 and "protocol fedavg: no setting 'kl' exists" in ended.complaint


@pytest.mark.parametrize("form", ["table", "html", "markdown", "json"])
def test_a_stored_run_is_drawn_again(form: str, fedprivacy: Call, tmp_path: Path) -> None:
    first = fedprivacy(f"{RUN} --format json")
    (run,) = (tmp_path / "runs").glob("mutual-*")
    ended = fedprivacy(f"report {run} --format {form}")
    assert ended.code == 0 and ended.err == "" and "mutual" in ended.out
    if form == "json":
        assert json.loads(ended.out) == json.loads(first.out)


def test_a_stranger_file_is_no_result(fedprivacy: Call, tmp_path: Path) -> None:
    for text in ("{", "{}", '{"schema": "fedprivacy/99"}', '{"schema": "fedprivacy/1"}', "[]", "3"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "result.json").write_text(text)
        ended = fedprivacy("report run")
        assert ended.code == 2 and "result.json" in ended.complaint, text


def test_baselines_stand_beside_the_run_with_paired_differences(fedprivacy: Call) -> None:
    content = json.loads(fedprivacy("run {small} --format json").out)
    assert [b["name"] for b in content["baselines"]] == ["local", "local + public labels"]
    assert all(b["up_bytes"] == b["down_bytes"] == 0 for b in content["baselines"])
    assert len([v for v in content["verdicts"] if "trains better models than" in v["claim"]]) == 2


def test_several_seeds_give_intervals_over_seeds(fedprivacy: Call, tmp_path: Path) -> None:
    content = json.loads(fedprivacy(f"{RUN} --seeds 2 --format json --statistic loss").out)
    accuracy = content["utility"]["test_accuracy"]
    assert (accuracy["n"], accuracy["over"]) == (2, "seeds")
    auc = next(f for f in content["findings"] if f["metric"] == "AUC" and f["target"] == "all clients")
    assert auc["n"] == 2 * 2 * 60
    single = json.loads(fedprivacy(f"{RUN} --seeds 1 --format json --statistic loss").out)
    other = json.loads(fedprivacy(f"{RUN} --seed 1 --format json --statistic loss").out)
    singles = [c["utility"]["test_accuracy"]["mean"] for c in (single, other)]
    assert accuracy["mean"] == pytest.approx(sum(singles) / 2)


def test_nobody_attacks_without_being_asked(fedprivacy: Call) -> None:
    content = json.loads(fedprivacy("run {small} --no-baselines --format json").out)
    assert content["findings"] == [] and content["config"]["attack"]["attacks"] == []


def test_federations_too_small_to_say_anything_end_well(fedprivacy: Call) -> None:
    """No number is better than one that rests on two candidates, and a peer needs another client."""
    content = json.loads(fedprivacy(f"{RUN} --candidates 2 --format json --statistic loss").out)
    rates = [f for f in content["findings"] if f["metric"] != "AUC" and f["statistic"] != DONE]
    pooled = [f for f in rates if f["target"] == "all clients"]
    assert pooled and all(f["value"] is None and f["flag"] == "below" for f in pooled)
    alone = json.loads(fedprivacy(f"{RUN} --protocol fedavg --clients 1 --format json --statistic loss").out)
    assert {f["adversary"] for f in alone["findings"]} == {"server (honest-but-curious)"}
    refused = fedprivacy(f"{RUN} --protocol fedavg --clients 1 --adversary client-0")
    assert refused.code == 2 and "there is no other client; use server" in refused.complaint


def test_a_reader_that_stops_early_leaves_the_exit_code(tmp_path: Path) -> None:
    """``| head -1`` must not read as a broken limit (1), nor hide one."""
    line = [sys.executable, "-c", "from fedprivacy.cli.main import main; main()", "list", "protocols", "mutual"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 0


SHORT = "--dataset digits --clients 2 --rounds 1 --candidates 60 --auxiliary 40 --workers 1"
HEAVY = ("matplotlib.figure", "scipy.optimize", "scipy.stats", "dp_accounting", "sklearn.base", "torch._dynamo")


def test_a_run_imports_what_it_uses_and_draws_only_when_asked(fedprivacy: Call, tmp_path: Path) -> None:
    words = ["run", "--protocol", "fedavg", "--attack", "membership", "--no-baselines", *SHORT.split()]
    code = (
        "import sys; from fedprivacy.cli.main import main; sys.argv = ['fedprivacy', *sys.argv[1:]]\n"
        f"try: main()\nexcept SystemExit as end: print(end.code, [m for m in {HEAVY} if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.splitlines()[-1] == "0 []"
    (where,) = tmp_path.glob("runs/fedavg-*")
    assert not (where / "report.html").exists() and not (where / "figures").exists()
    ended = fedprivacy("report --figures", str(where))
    assert ended.code == 0 and "report.html" in ended.out
    assert {"roc.png", "leakage.png"} <= {path.name for path in (where / "figures").iterdir()}
    assert "<svg" in (where / "report.html").read_text()
