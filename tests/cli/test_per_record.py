"""``report --per-record``: named only when asked for, right about the truth, and nothing of it stays behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pandas
import pytest

from fedprivacy.config.run import RunConfig
from fedprivacy.study.resolve import resolve

Call = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, fedprivacy: Call) -> Path:
    ended = fedprivacy("run --protocol fedavg --attack membership --adversary server --no-baselines {small}")
    assert ended.code == 0, ended.err
    return next((tmp_path / "runs").iterdir())


def test_the_named_records_are_those_of_the_game_and_no_other_report_names_any(run: Path, fedprivacy: Call) -> None:
    before = sorted(path.name for path in run.rglob("*"))
    ended = fedprivacy("report --per-record --fdr 0.3 --format csv", run)
    read = pandas.read_csv(StringIO(ended.out))
    named = read[read["kind"] == "accusation"]
    assert len(named) > 5 and sorted(path.name for path in run.rglob("*")) == before
    stored = json.loads((run / "result.json").read_text())["config"]
    played = resolve(RunConfig.model_validate(stored)).game(0)
    told = dict(zip(played.candidates.tolist(), played.flat_coins.tolist(), strict=True))
    owner = dict(zip(played.candidates.tolist(), played.owners.tolist(), strict=True))
    for _, line in named.iterrows():
        client, row = int(line["target"].split(",")[0][7:]), int(line["target"].split()[-1])
        assert owner[row] == client and told[row] == (line["flag"] == "trained on")
    share = read[read["metric"] == "false discoveries"].iloc[0]
    assert share["value"] == (named["flag"] == "not trained on").mean() and share["chance_high"] == 0.3
    for form in ("table", "markdown", "csv", "json", "html", "latex"):
        assert "training record" not in fedprivacy(f"report --format {form}", run).out
    shown = fedprivacy("report --per-record --fdr 0.3", run).out
    assert "training record" in shown and "names records that were trained on" in shown


def test_of_clients_that_were_not_attacked_nothing_is_named(tmp_path: Path, fedprivacy: Call) -> None:
    """A peer of averaging reads one model of all others, and is asked about the first of them alone."""
    ended = fedprivacy(
        "run --protocol fedavg --attack membership --adversary client-2 --followed 1 --no-baselines {small} --clients 3"
    )
    assert ended.code == 0, ended.err
    ended = fedprivacy("report --per-record --fdr 0.9 --format csv", next((tmp_path / "runs").iterdir()))
    assert ended.code == 0, ended.err
    named = pandas.read_csv(StringIO(ended.out)).query("kind == 'accusation'")
    assert len(named) and set(named["target"].str.split(",").str[0]) == {"client-0"}


def test_where_no_scores_are_it_is_told(tmp_path: Path, fedprivacy: Call) -> None:
    assert fedprivacy("run --protocol fedavg --no-baselines {small}").code == 0
    ended = fedprivacy("report --per-record", next((tmp_path / "runs").iterdir()))
    assert ended.code == 2 and "no declared scores" in ended.complaint
