"""Names of parts from outside: found without being run, loaded when asked for, refused in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from fedprivacy import parts
from fedprivacy.config.base import UsageError

OWN = ("mlp", "cnn")


def code(where: Path, text: str, name: str = "nets.py") -> Path:
    where.mkdir(parents=True, exist_ok=True)
    (where / name).write_text(text)
    return where / name


def refused(kind: str, name: str) -> str:
    with pytest.raises(UsageError) as caught:
        parts.load(kind, name)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_found_without_being_run_and_runs_once_when_loaded(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    text = f"with open({str(ran)!r}, 'a') as file:\n    file.write('x')\nNet = int\n"
    file = code(tmp_path, text)
    assert parts.exists("model", f"{file}:Net", OWN)
    assert not (tmp_path / "ran").exists()
    assert parts.load("model", f"{file}:Net") is int
    assert parts.load("model", f"{file}:Net") is int
    assert (tmp_path / "ran").read_text() == "x"


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    code(tmp_path, "WIDTH = 7\n", "neighbour_of_nets.py")
    file = code(tmp_path, "from neighbour_of_nets import WIDTH\n")
    assert parts.load("model", f"{file}:WIDTH") == 7


def test_a_module_and_what_lies_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code(tmp_path, "class Outer:\n    class Net: pass\n", "some_strange_module.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert parts.exists("model", "some_strange_module:Outer.Net", OWN)
    assert parts.load("model", "some_strange_module:Outer.Net").__name__ == "Net"
    assert "Did you mean 'Outer'?" in refused("model", "some_strange_module:Outre")


def test_modules_are_looked_for_in_the_working_folder_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code(tmp_path, "Net = 3\n", "module_of_this_folder.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert parts.load("model", "module_of_this_folder:Net") == 3


def test_own_names_are_not_from_outside_and_unknown_ones_have_a_near_miss() -> None:
    assert not parts.exists("model", "mlp", OWN)
    with pytest.raises(UsageError, match=r"No model 'mpl' exists\. Did you mean 'mlp'\?"):
        parts.exists("model", "mpl", OWN)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere_at_all:Net", "there is no module nowhere_at_all"),
        ("os.nowhere:Net", "there is no module os.nowhere"),
        ("nowhere.py:Net", "there is no file nowhere.py"),
        ("os:", "stands a name of Python"),
        ("os:path join", "stands a name of Python"),
        (":Net", "there is no module"),
        ("live:00000000:Net", "a Python session that has ended"),
    ],
)
def test_what_is_not_there_is_told_before_anything_runs(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parts.exists("model", name, OWN)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def made(:\n", "SyntaxError"),
        ("x = 1\n\n1 / 0\n", "ZeroDivisionError: division by zero (broken.py, line 3)"),
        ("raise SystemExit('no')\n", "it ended the process: no"),
        ("Other = 1\n", "has no 'Net'"),
    ],
)
def test_code_that_fails_is_one_line_with_its_place(text: str, words: str, tmp_path: Path) -> None:
    file = code(tmp_path, text, "broken.py")
    assert words in refused("model", f"{file}:Net")


def test_a_live_class_of_a_module_is_named_by_it() -> None:
    assert parts.refer(nn.Linear) == "torch.nn.modules.linear:Linear"
    assert parts.load("model", parts.refer(nn.Linear)) is nn.Linear
    assert not parts.only_here(parts.refer(nn.Linear))


def test_a_live_class_of_a_function_stays_in_this_process() -> None:
    class Net(nn.Linear):
        pass

    name = parts.refer(Net)
    assert parts.only_here(name) and parts.title(name) == "Net"
    assert parts.load("model", name) is Net and parts.exists("model", name, OWN)
    assert parts.refer(Net) == name


def test_a_live_class_of_a_script_is_named_by_its_file(tmp_path: Path) -> None:
    """Another process finds it under that name, and its guarded part does not run again."""
    script = code(
        tmp_path,
        "from fedprivacy import parts\nclass Net: pass\nif __name__ == '__main__':\n    print(parts.refer(Net))\n",
        "script.py",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == f"{script.resolve()}:Net"
    assert parts.load("model", done.stdout.strip()).__name__ == "Net"


def test_code_that_changes_has_another_fingerprint(tmp_path: Path) -> None:
    file = code(tmp_path, "Net = 1\n")
    named = [("model", f"{file}:Net"), ("model", "mlp")]
    before = parts.fingerprint(named)  # type: ignore[arg-type]
    assert len(before) == 8 and before == parts.fingerprint(named)  # type: ignore[arg-type]
    file.write_text("Net = 2\n")
    assert parts.fingerprint(named) != before  # type: ignore[arg-type]
    assert parts.fingerprint([("model", "mlp")]) == ""


def test_a_module_has_the_fingerprint_of_its_whole_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code(tmp_path / "pack_of_nets", "", "__init__.py")
    code(tmp_path / "pack_of_nets", "Net = 1\n", "nets.py")
    other = code(tmp_path / "pack_of_nets", "x = 1\n", "layers.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = parts.fingerprint([("model", "pack_of_nets.nets:Net")])
    other.write_text("x = 2\n")
    assert parts.fingerprint([("model", "pack_of_nets.nets:Net")]) != before
