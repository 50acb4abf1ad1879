"""Three hundred of the 5,000 generated bad inputs, drawn by a named seed; `make fuzz` tries all of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

SAMPLE, SEED = 300, "make test"


@pytest.fixture(scope="module")
def fuzz() -> Any:
    found = importlib.util.spec_from_file_location("fuzz", Path(__file__).with_name("fuzz.py"))
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["fuzz"] = module
    found.loader.exec_module(module)
    return module


def test_no_bad_input_gives_a_traceback_a_hang_or_another_result(fuzz: Any, tmp_path: Path) -> None:
    chosen = fuzz.chosen(SAMPLE, SEED)
    assert len(chosen) == SAMPLE and {kind for kind, _ in chosen} == set(fuzz.inputs.SHARES)
    found = fuzz.tried(chosen, tmp_path)
    assert {kind: faults for kind, faults in found.items() if faults} == {}


def test_the_suite_itself_sees_faults(fuzz: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite that cannot fail proves nothing: each kind of fault is planted once."""
    case = fuzz.inputs.Case("flags", ())
    sound = fuzz.Ended(0, "AUC 0.7\n", "")
    planted = [
        fuzz.Ended(None, "", "", "hang"),
        fuzz.Ended(1, "", "Traceback (most recent call last):\n"),
        fuzz.Ended(3, "", "fedprivacy: not foreseen: KeyError: 'x'\n"),
        fuzz.Ended(2, "", "fedprivacy: one\nand two\n"),
        fuzz.Ended(2, "", "fedprivacy: \x1b[2J\n"),
        fuzz.Ended(0, "AUC 0.5\n", ""),
        fuzz.Ended(139, "", ""),
    ]
    for ended in planted:
        assert fuzz.fault(case, ended, sound), ended
    for ended in (sound, fuzz.Ended(2, "", "fedprivacy: no.\n"), fuzz.Ended(None, "", "")):
        assert not fuzz.fault(case, ended, sound), ended

    def broken() -> None:
        raise KeyError("planted")

    monkeypatch.setattr("fedprivacy.cli.main.cli.main", lambda *_, **__: broken())
    assert "not foreseen" in fuzz.fault(case, fuzz.ended(("run",), False), None)


def test_an_input_is_the_same_anywhere(fuzz: Any, tmp_path: Path) -> None:
    kinds = [kind for kind in fuzz.inputs.SHARES if kind not in fuzz.inputs.STORED]
    for number in range(3):
        first, second = ([fuzz.inputs.case(kind, number, tmp_path) for kind in kinds] for _ in range(2))
        assert [one.words for one in first] == [one.words for one in second]
    assert sum(fuzz.inputs.SHARES.values()) == 5000
