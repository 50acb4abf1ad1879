"""Four of the 200 runs of every null, and twelve of its draws of coins; `make nulls` plays all of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def runs() -> Any:
    found = importlib.util.spec_from_file_location("runs", Path(__file__).with_name("runs.py"))
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["runs"] = module
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("partition", ["pools alike", "two classes a client", "Dirichlet .1"])
def test_runs_that_cannot_learn_raise_no_alarm(runs: Any, partition: str, tmp_path: Path) -> None:
    assert (runs.allowed(200), runs.allowed(4), runs.allowed(12), runs.allowed(200, 50)) == (13, 2, 3, 16)
    found = runs.cannot_learn("fedavg", partition, 4, tmp_path)
    assert {name.partition(":")[0] for name in found} == {
        "server (honest-but-curious), joint updates",
        "server (honest-but-curious), uploaded weights",
        "server (active), traps",
        "client-0 (honest-but-curious), joint updates",
        "client-0 (honest-but-curious), global model",
    }
    assert all(count <= runs.allowed(4, len(found)) for count in found.values()), found


def test_coins_of_nobody_raise_no_alarm_and_the_true_ones_do(runs: Any, tmp_path: Path) -> None:
    found = runs.findings(runs.config("fedavg", 0), tmp_path / "fedavg learns")
    decoded = [one for one in found if one.statistic == "joint"]
    assert len(decoded) == 3 and all(one.value > 0.9 and runs.alarms(found)[runs.row(one)] == 1 for one in decoded)
    for shuffled in (False, True):
        rows = runs.other_coins("fedavg", 12, tmp_path, shuffled)
        assert {runs.row(one) for one in decoded} <= set(rows), rows
        assert all(count <= runs.allowed(12, len(rows)) for count in rows.values()), rows


def test_a_stack_of_nobodys_coins_raises_no_alarm(runs: Any, tmp_path: Path) -> None:
    found = runs.findings(runs.config("fedavg, stacked", 0), tmp_path / "learns")
    stack = next(one for one in found if one.statistic == "stack")
    assert stack.value > 0.95
    rows = runs.other_coins("fedavg, stacked", 12, tmp_path, shuffled=False)
    assert rows.keys() >= {runs.row(stack)} and rows[runs.row(stack)] <= runs.allowed(12, len(rows)), rows
