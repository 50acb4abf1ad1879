"""Several runs in one table."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from fedprivacy.judge.result import PrivacyClaim, RunResult
from fedprivacy.reporting.compare import comparison_to_markdown, render_comparison, run_labels
from fedprivacy.reporting.text import sizes

Results = Mapping[str, Callable[[], RunResult]]


def printed(results: list[RunResult], width: int, labels: list[str] | None = None) -> str:
    file = io.StringIO()
    render_comparison(results, Console(file=file, width=width), labels)
    return file.getvalue()


def fedavg(base: RunResult) -> RunResult:
    wire = replace(base.communication, up_bytes=24_421_920, down_bytes=24_421_920, public_bytes=0)
    return replace(base, config={**base.config, "protocol": "fedavg"}, communication=wire)


def test_one_model_has_no_interval_and_equal_bytes_are_neither_fewer_nor_more(results: Results) -> None:
    base = fedavg(results["ordinary"]())
    one = {name: replace(found, mean=0.808, low=0.808, high=0.808, n=1) for name, found in base.utility.items()}
    sent = base.communication.up_bytes + base.communication.down_bytes
    near = replace(base, utility=one, communication=replace(base.communication, fedavg_bytes=sent - 100))
    words = re.sub(r"\s+", " ", printed([results["ordinary"](), near], 140))
    assert "0.808 (no interval)" in words and "[0.808" not in words
    assert "as many" in words and "1 x" not in words.replace("31 x", "")


@pytest.mark.parametrize("width", [60, 80, 100, 140, 220])
def test_one_table_has_utility_bytes_leakage_and_epsilon(results: Results, width: int) -> None:
    text = printed([results["ordinary"](), fedavg(results["ordinary"]())], width)
    assert max(map(cell_len, text.splitlines())) <= width
    words = re.sub(r"\s+", " ", text)
    for part in ("mutual", "fedavg", "1.58 MB", "48.8 MB", "31 x fewer", "infinite"):
        assert part in words
    if width >= 80:
        for part in ("0.8590 [0.851, 0.867]", "0.776 [0.76, 0.80]", "0.504 [0.48, 0.53]", "0.121 [0.09, 0.17]"):
            assert part in words
        assert "chance" in words and "0.500 [0.47, 0.53]" in words
    assert "planted probes" in words


def test_the_comparison_is_pure(results: Results) -> None:
    runs = [results[name]() for name in results]
    assert comparison_to_markdown(runs) == comparison_to_markdown([results[name]() for name in results])
    assert printed(runs, 100) == printed(runs, 100)


def test_runs_of_one_name_are_numbered_and_labels_can_be_given(results: Results) -> None:
    base = results["ordinary"]()
    noisy = replace(base, config={**base.config, "defense": {"name": "gaussian", "epsilon": 4.0, "sigma": None}})
    assert run_labels([base, base, noisy]) == ["mutual (1)", "mutual (2)", "mutual + gaussian (epsilon 4)"]
    text = comparison_to_markdown([base, noisy], ["first|a", "second"])
    assert "**first\\|a**" in text
    assert "**second**" in text


def test_a_missing_adversary_and_a_failure_are_said(results: Results) -> None:
    text = comparison_to_markdown([results["ordinary"](), results["only_errors"](), results["no_findings"]()])
    assert "No passive server was run against mutual (2), mutual (3)" in text
    assert "failed (" in text
    assert "ValueError: no references" in text


def test_runs_that_are_not_alike_are_named(results: Results) -> None:
    base = results["ordinary"]()
    assert "differ" not in comparison_to_markdown([base, fedavg(base)])
    text = comparison_to_markdown([base, results["hundred_clients"]()])
    assert "The runs differ in clients (5 and 100)" in text


def test_an_epsilon_stands_with_its_delta_its_unit_and_what_seeded_noise_is_worth(results: Results) -> None:
    base = results["ordinary"]()
    record = PrivacyClaim("record", "add-remove", 4.0, 1e-5, "PLD", 12, seeded=True)
    noisy, bare = replace(base, privacy=record), replace(base, privacy=replace(record, epsilon=None, seeded=False))
    text = comparison_to_markdown([noisy, bare])
    assert "4<br>delta 1e-5<br>record" in text
    assert "upper bound for one record (add-remove), view: whole transcript" in text
    assert "Seeded noise: measurement only, no guarantee." in text
    assert "not equal protection" not in text
    assert "Vacuous" not in text
    client = replace(base, privacy=replace(record, unit="client", relation="replace-one", vacuous=True))
    text = comparison_to_markdown([noisy, client])
    assert "equal figures are not equal protection" in text
    assert "Vacuous" in text
    assert "upper bound" not in comparison_to_markdown([bare])


def test_wrong_input_is_refused(results: Results) -> None:
    with pytest.raises(ValueError, match="at least one result"):
        comparison_to_markdown([])
    with pytest.raises(ValueError, match="1 results need as many labels, got 2"):
        comparison_to_markdown([results["ordinary"]()], ["a", "b"])


def test_a_column_of_bytes_has_one_unit() -> None:
    assert sizes([1_580_000, 48_800_000, 0]) == ["1.58 MB", "48.8 MB", "0 MB"]
    assert sizes([65_000, 6_500_000]) == ["0.0650 MB", "6.50 MB"]
    assert sizes([6_530, 97_700_000]) == ["6.53 kB", "97,700 kB"]
    assert sizes([0, 0]) == ["0 B", "0 B"] and sizes([3, 2e9]) == ["3 B", "2,000,000,000 B"]


def test_a_sweep_names_its_defense_once_and_breaks_no_budget(results: Results) -> None:
    base = results["ordinary"]()
    file = io.StringIO()
    labels = ["gaussian, epsilon 0.5", "gaussian, epsilon 8", "no defense"]
    render_comparison([base] * 3, Console(file=file, width=80), labels, judged=False)
    lines = file.getvalue().splitlines()
    assert any("side by side: gaussian" in line for line in lines)
    for name in ("epsilon 0.5", "epsilon 8", "no defense"):
        assert sum(line.startswith(name) for line in lines) >= 2
    assert not any(line.strip() in ("epsilon", "8", "0.5") for line in lines)


def test_chance_is_that_of_a_row_that_has_one(results: Results) -> None:
    text = comparison_to_markdown([results["only_errors"](), results["ordinary"]()])
    head = next(line for line in text.splitlines() if line.startswith("| run (its accuracy)"))
    assert "0.500 [0.47, 0.53]" in head
