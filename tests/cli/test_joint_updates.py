"""A server that decodes updates, through the command line: its row, its headline, and what the row must say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]

RUN = "run --protocol fedavg --attack membership --adversary server --no-baselines {small}"


def findings(where: Path) -> list[dict[str, Any]]:
    found = json.loads(next(where.glob("**/result.json")).read_text())["findings"]
    return [finding for finding in found if finding["target"] == "all clients" and finding["metric"] == "AUC"]


def test_the_headline_of_a_server_that_sees_weights_is_joint_decoding(fedprivacy: Call, tmp_path: Path):
    done = fedprivacy(RUN, "--full", "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    heads = [finding for finding in findings(tmp_path) if finding["headline"]]
    assert [head["statistic"] for head in heads] == ["joint"]
    (head,) = heads
    assert head["observation"] == "joint updates"
    assert head["value"] > 0.85
    for words in ("default grade", "known: all candidates", "foretell AUC", "carried by round"):
        assert words in head["note"]
    assert "foretell AUC" in " ".join(done.out.split())


def test_a_part_of_the_pool_is_told_and_nobody_else_is_scored(fedprivacy: Call, tmp_path: Path):
    done = fedprivacy(RUN, "--known-share", 0.5, "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    (head,) = (finding for finding in findings(tmp_path) if finding["headline"])
    assert "known: 50% of the candidates" in head["note"]
    assert "too much, as no record in them is unknown" in head["note"]
    assert head["members"] + head["non_members"] == 60
