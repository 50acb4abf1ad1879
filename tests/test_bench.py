"""`make bench`: cells are stored as they are measured and kept by --resume; exponents are those of the powers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def run(*arguments: str, code: str = "import bench; bench.main()") -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


def test_a_cell_is_stored_and_not_measured_again(tmp_path: Path) -> None:
    stored, page = tmp_path / "bench.json", tmp_path / "page.md"
    first = run("--only", "step of mlp-small", "--json", str(stored), "--out", str(page))
    (figures,) = json.loads(stored.read_text())["cells"]["steps"].values()
    assert 0 < figures["cpu_s"] < 1 and figures["memory_mb"] > 0 and 0 < figures["of_matmul"] < 1
    assert "step of mlp-small" in first.stdout and "step of mlp-small" in page.read_text()
    again = run("--only", "step of mlp-small", "--resume", "--json", str(stored))
    assert json.loads(stored.read_text())["cells"]["steps"] == {"step of mlp-small, 1x8x8": figures}
    assert "memory_mb" not in again.stdout


def test_a_series_shows_the_power_that_it_grows_by() -> None:
    code = """
from measure import exponent
from page import table
sizes = (2, 5, 10, 30, 100)
print(round(exponent(sizes, [3 * size**1.25 for size in sizes]), 6))
print(table({"growth": {f"clients/{n}": {"cpu_s": 0.5 * n**2, "memory_mb": 1, "size": n} for n in sizes}}))
"""
    lines = run(code=code).stdout.splitlines()
    assert lines[0] == "1.25"
    assert "to the power 2.00" in lines[-1]


def test_what_another_machine_measured_is_named_and_not_compared() -> None:
    code = """
from page import page
cells = {f"clients/{n}": {"cpu_s": n, "memory_mb": 1, "size": n} for n in (2, 5)}
stored = {"machine": {"processor": "One"}, "cells": {"growth": cells}, "elsewhere": {"clients/5": "Two"}}
print(page(stored, []))
"""
    lines = run(code=code).stdout.splitlines()
    assert "- clients 5: Two" in lines and "- clients 2: Two" not in lines
    assert not any("to the power" in line for line in lines if line.startswith("| *"))


def test_the_least_of_some_repeats_comes_with_what_the_last_of_them_made() -> None:
    code = """
import measure
ticks, made = iter([0, 5, 10, 12, 20, 29]), iter("abc")
measure.time.process_time = lambda: next(ticks)
print(*measure.least(lambda: next(made), 3))
"""
    assert run(code=code).stdout.split() == ["c", "2"]
