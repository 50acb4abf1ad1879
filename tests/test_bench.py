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


def test_what_the_page_says_is_made_from_its_cells() -> None:
    """Ratios, goals, memory, and Ray's costs: other figures, other sentences."""
    code = """
from page import page

def told(pfllib, mb, whole, job, more):
    side = {"cpu_s": 1.0, "memory_mb": 50.0, "pfllib_mb": mb, "pfllib_without_look_s": 1.5, "matmul_bound_s": 0.5}
    rounds = {f"round of {n}": {**side, "pfllib_s": pfllib} for n in ("fedavg", "fml", "fedkd")}
    scored = {f"ratio/{n}": {"cpu_s": 2.0, "margins_s": 1.0, "whole_mb": whole, "size": n} for n in (10, 1000)}
    pool = {"cpu_s": 8.0, "ray_cpu_s_a_job": 1.0, "ray_fixed_cpu_s": 2.0, "ray_wall_s": 5.0}
    ray = {**pool, "ray_fixed_cpu_s": 9.5, "more_least": job, "more_most": more, "turns": 2}
    cells = {"protocols": rounds, "scoring": scored, "ray": {"pool": pool, "ray": ray}}
    print(page({"machine": {"processor": "One"}, "cells": cells}, []))

told(3.5, 70.0, 1234.0, 0.02, 0.34)
print("=====")
told(6.0, 80.0, 4321.0, 0.01, 0.03)
"""
    one, other = " ".join(run(code=code).stdout.split()).split("=====")
    assert "take 3.50, 3.50 and 3.50 times fewer" in one and "take 6.00, 6.00 and 6.00 times fewer" in other
    assert "3, 4 and 5 times, are reached by fedavg." in one and "reached by fedavg, fml and fedkd." in other
    assert "PFLlib's 70, 70 and 70" in one and "PFLlib's 80, 80 and 80" in other
    assert "the process holds 1,234 MB in all" in one and "the process holds 4,321 MB in all" in other
    assert (
        "a job cost 2% to 34% more" in one
        and "a job cost 1% to 3% more" in other
        and "costs 7.5 cpu-seconds more" in one
    )


def test_a_million_candidates_are_scored_in_a_few_gigabytes() -> None:
    """By what it takes for a tenth and a fifth of them, all that the process holds counted."""
    code = """
from bench import apart
from measure import Cell
from scoring import cost
held = [apart(Cell("", lambda n=n: cost("lira-online", n)))["whole_mb"] for n in (50_000, 150_000)]
print(held[1] + 8.5 * (held[1] - held[0]))
"""
    assert float(run(code=code).stdout) < 3000
