"""``fedprivacy attack --scores``: the report of a file, and one line for what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Call = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    member = draw.random(300) < 0.5
    np.savez(tmp_path / "mine.npz", member=member, scores=draw.normal(size=300) + member)
    return tmp_path / "mine.npz"


def test_a_file_of_scores_is_judged(fedprivacy: Call, file: Path) -> None:
    ended = fedprivacy("attack --level 0.9 --scores", file)
    assert ended.code == 0 and "scores from elsewhere" in ended.out and "Intervals: 90%" in ended.out
    assert "membership leaks" in ended.out and "\nnull  " in ended.out
    assert "Bytes on the wire" not in ended.out and "Run folder" not in ended.out


def test_as_json_and_in_a_folder(fedprivacy: Call, file: Path, tmp_path: Path) -> None:
    ended = fedprivacy("attack --format json --out runs --scores", file)
    content = json.loads(ended.out)
    assert content["config"]["scores"] == "mine.npz" and content["findings"]
    assert fedprivacy("report", tmp_path / "runs" / "scores-mine").code == 0


def test_what_cannot_be_is_one_line(fedprivacy: Call, file: Path, tmp_path: Path) -> None:
    assert "a stored run, or --scores" in fedprivacy("attack").complaint
    assert "and not both" in fedprivacy("attack somewhere --scores", file).complaint
    assert "--adversary does nothing with --scores" in fedprivacy("attack --adversary server --scores", file).complaint
    assert "there is no file" in fedprivacy("attack --scores", tmp_path / "absent.npz").complaint
    assert "no scores 'ratio'" in fedprivacy("attack --statistic ratio --scores", file).complaint
    assert fedprivacy("attack --scores", tmp_path / "absent.npz").code == 2
