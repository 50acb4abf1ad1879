"""A page of one's own through the command line: made, printed, and found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits

import fedprivacy
from fedprivacy.cli.main import cli
from fedprivacy.config.base import UsageError
from fedprivacy.face.reproduce import Page

PAGE = """
title = "Two ways"
[base]
clients = 2
rounds = 1
data = { dataset = "digits", candidates = 40, auxiliary = 40, public_size = 10 }
training = { local_epochs = 1 }
[[groups]]
name = "all"
[[rows]]
name = "averaged"
settings.protocol = "fedavg"
[[rows]]
name = "alone"
settings.protocol = "local"
[[columns]]
head = "accuracy"
show = "utility"
metric = ["test_accuracy"]
"""


def test_a_page_from_a_file_is_made_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "ways.toml"
    file.write_text(PAGE)
    words = ["reproduce", str(file), "--out", str(tmp_path), "--workers", "1", "--format", "markdown"]
    first, again = (CliRunner().invoke(cli, words) for _ in range(2))
    assert first.exit_code == again.exit_code == 0, first.output
    assert "| averaged |" in first.output and "Found in" in again.output
    assert "row 1 of 2, all: averaged:" in first.output and "row 2 of 2, all: alone:" in first.output
    where = tmp_path / "reproduce-ways"
    assert "| alone |" in (where / "ways.md").read_text()
    table = CliRunner().invoke(cli, [*words[:-2], "--rows", "alone"])
    assert "averaged" not in table.output and "alone" in table.output


def test_a_page_is_made_from_python_on_arrays(tmp_path: Path) -> None:
    file = tmp_path / "ways.toml"
    file.write_text(PAGE)
    digits = load_digits()
    x, y = (digits.images[:400] * 15.9).astype(np.uint8), digits.target[:400]
    found = fedprivacy.reproduce(str(file), data=(x, y), rows=["averaged"], seeds=2, out=tmp_path)
    assert isinstance(found, Page) and "| averaged |" in found.to_markdown() and not found.figures
    assert {row["run"] for row in found.table()} == {"all: averaged"}
    with pytest.raises(UsageError, match="No setting 'candidats' exists"):
        fedprivacy.reproduce(str(file), candidats=3, out=tmp_path)
    with pytest.raises(UsageError, match="is a paper's, with its own settings; leave out dataset"):
        fedprivacy.reproduce("gupta2025", dataset="digits", out=tmp_path)
