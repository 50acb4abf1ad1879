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
    assert (runs.allowed(200), runs.allowed(4), runs.allowed(12)) == (13, 2, 3)
    found = runs.cannot_learn("fedavg", partition, 4, tmp_path)
    assert all(count <= runs.allowed(4) for count in found.values()), found


def test_coins_of_nobody_raise_no_alarm_and_the_true_ones_do(runs: Any, tmp_path: Path) -> None:
    found = runs.findings(runs.config("fedavg", 0), tmp_path / "fedavg learns")
    leak = next(one for one in found if one.statistic == "joint")
    assert leak.value > 0.95 and runs.alarms(found)["joint updates: joint"] == 1
    for shuffled in (False, True):
        rows = runs.other_coins("fedavg", 12, tmp_path, shuffled)
        assert rows["server--joint-updates: joint"] <= runs.allowed(12), rows
