"""A page of one's own through the command line: made, printed, and found again."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from fedprivacy.cli.main import cli

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
    where = tmp_path / "reproduce-ways"
    assert "| alone |" in (where / "ways.md").read_text()
    table = CliRunner().invoke(cli, [*words[:-2], "--rows", "alone"])
    assert "averaged" not in table.output and "alone" in table.output
