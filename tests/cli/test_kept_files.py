"""No command replaces what it did not make in this call: reports, tables and pages beside runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fedprivacy import folder
from fedprivacy.config.base import UsageError
from fedprivacy.config.toml import read_toml

Call = Callable[..., Any]
SWEEP = "sweep --epsilon 8,inf --protocol mutual --defense gaussian {small} --format markdown --resume"


def test_another_content_goes_beside_the_one_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    assert [folder.write_beside(path, text).name for text in (b"a", b"b", b"a", b"b", b"cc")] == [
        "page.md",
        "page-2.md",
        "page.md",
        "page-2.md",
        "page-3.md",
    ]
    (tmp_path / "link.md").symlink_to(path)
    assert folder.write_beside(tmp_path / "link.md", b"d").name == "link-2.md"
    assert path.read_bytes() == b"a"


def test_two_that_write_under_one_name_at_once_get_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, plain, found = tmp_path / "page.md", folder.write_bytes, list[str]()
    other = Thread(target=lambda: found.append(folder.write_beside(path, b"b").name))

    def slowly(place: Path, data: bytes) -> None:
        if data == b"a":  # between seeing that the name is free and taking it
            other.start()
            other.join(0.2)
            assert other.is_alive() and not found
        plain(place, data)

    monkeypatch.setattr(folder, "write_bytes", slowly)
    assert folder.write_beside(path, b"a").name == "page.md"
    other.join()
    assert found == ["page-2.md"] and path.read_bytes() == b"a"
    assert {file.name for file in tmp_path.iterdir()} == {"page.md", "page-2.md"}


@pytest.mark.parametrize("name", ["run", "reproduce"])
def test_settings_are_read_from_plain_files_or_from_what_a_shell_hands_over(
    name: str, fedprivacy: Call, tmp_path: Path
) -> None:
    pipe = tmp_path / "page.toml"
    os.mkfifo(pipe)
    ended = fedprivacy(f"reproduce {pipe}" if name == "reproduce" else f"run --config {pipe}")
    assert ended.code == 2 and "is no plain file" in ended.complaint
    with pytest.raises(UsageError, match="is no plain file"):
        read_toml(Path("/dev/zero"))
    reading, writing = os.pipe()
    os.write(writing, b"rounds = 3\n")
    os.close(writing)
    assert read_toml(Path(f"/dev/fd/{reading}")) == {"rounds": 3}
    os.close(reading)


def test_a_report_replaces_no_file_that_somebody_changed(fedprivacy: Call, tmp_path: Path) -> None:
    assert fedprivacy("run --protocol fedavg {small} --no-baselines --format json").code == 0
    (run,) = Path("runs").glob("fedavg-*")
    page = tmp_path / "page.md"
    report = f"report {run} --output {page}"
    assert fedprivacy(report).code == fedprivacy(report).code == 0, "its own is replaced"
    written = page.read_text()
    page.write_text(f"{written}\nMy note.")
    ended = fedprivacy(report)
    assert ended.code == 2 and "add --fresh" in ended.complaint and page.read_text().endswith("My note.")
    assert fedprivacy(f"{report} --fresh").code == 0 and page.read_text() == written


@pytest.mark.parametrize("place", ["folder", "link", "/dev/null"])
def test_a_report_is_written_to_plain_files_alone(place: str, fedprivacy: Call, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    ended = fedprivacy(f"report nowhere --fresh --output {place}")
    assert ended.code == 2 and "--output" in ended.complaint
    assert (tmp_path / "link").is_symlink() and Path("/dev/null").is_char_device()


def test_a_sweep_holds_limits_and_leaves_a_table_that_somebody_changed(fedprivacy: Call) -> None:
    limits = "--fail-above epsilon=7 --fail-below accuracy=0.01"
    ended = fedprivacy(f"{SWEEP} {limits}")
    assert ended.code == 1 and "gaussian, epsilon 8: above the limit: epsilon 8 > 7" in ended.err
    assert ended.err.count("above the limit") == 1, "the run without a defense is no run to be held to it"
    (table,) = Path("runs").glob("sweep-*/sweep.md")
    assert fedprivacy(SWEEP).code == 0
    kept = {"sweep.md", "sweep.json", "rows.csv", "frontier.png", "report.html"}
    assert {file.name for file in table.parent.iterdir()} == kept
    again = fedprivacy(f"report {table.parent} --format markdown")
    assert again.code == 0 and again.out == table.read_text()
    table.write_text("mine")
    assert fedprivacy(SWEEP).code == 0 and table.read_text() == "mine"
    assert (table.parent / "sweep-2.md").read_text() != "mine"
    ended = fedprivacy(f"{SWEEP} --fail-above auc=0.5")
    assert ended.code == 2 and "nothing is measured without an attack" in ended.complaint
