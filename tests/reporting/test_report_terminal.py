"""The terminal report: every number is there, widths hold, plain text when piped."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from fedprivacy.judge.result import Communication, Interval, RunResult, from_json
from fedprivacy.reporting.findings import is_client
from fedprivacy.reporting.terminal import render
from fedprivacy.reporting.text import chance_level, estimate

Results = Mapping[str, Callable[[], RunResult]]


def printed(result: RunResult, width: int, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    render(result, console, full=True)
    return file.getvalue()


def joined(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_wider_than_the_console_nor_ends_in_blanks(any_result: RunResult, width: int) -> None:
    lines = printed(any_result, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


def test_piped_output_has_no_colour_codes(any_result: RunResult) -> None:
    assert "\x1b" not in printed(any_result, 80)


def test_a_terminal_gets_colours_that_both_grounds_can_show(results: Results) -> None:
    text = printed(results["ordinary"](), 100, terminal=True)
    assert "\x1b[1;31m" in text
    codes = {code for found in re.findall(r"\x1b\[([0-9;]+)m", text) for code in found.split(";")}
    assert codes <= {"0", "1", "2", "22", "31", "32", "35"}


def test_a_result_that_was_stored_and_read_prints_the_same(any_result: RunResult) -> None:
    stored = from_json(json.loads(json.dumps(any_result.to_json())))
    assert printed(stored, 100) == printed(any_result, 100)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_every_pooled_finding_is_shown_with_chance_and_interval(results: Results, width: int) -> None:
    result = results["ordinary"]()
    text = printed(result, width)
    for finding in result.findings:
        if finding.value is not None and not is_client(finding.target):
            assert estimate(finding.value, finding.low, finding.high, finding.chance) in text
            assert chance_level(finding.chance, finding.chance_low, finding.chance_high) in text
    for number in range(5):
        assert f"client-{number}" in text
        assert f"{200 + number} / {200 - number}" in text
    assert re.search(r"\b99\b", text)
    assert "1,004 members, 996 non-members" in joined(text)


@pytest.mark.parametrize("width", [80, 140])
def test_the_facts_of_a_run_are_there(results: Results, width: int) -> None:
    text = joined(printed(results["ordinary"](), width))
    for words in (
        "fedprivacy: mutual on mnist5k",
        "mutual (kl = proper, payload = probabilities)",
        "5 clients, 12 rounds",
        "0.8590 [0.851, 0.867]",
        "0.8070 [0.801, 0.813]",
        "On these clients, mutual is better than local in test accuracy: +0.0520 [+0.050, +0.054].",
        "One seed decides nothing.",
        "mutual does not measurably differ from local + public labels in test accuracy: +0.001 [-0.02, +0.02].",
        "317 kB",
        "1.27 MB",
        "1.58 MB",
        "18.8 MB",
        "Of 1.58 MB encoded, 1.44 MB is payload; headers take 9.1% of the bytes.",
        "FedAvg of the same model sends 48.8 MB: mutual sends 31 times fewer bytes, 2.4 times fewer bytes with",
        "below resolution: 0.1% FPR needs at least 1,000 non-members",
        ") surrogate: logits are constant",
        "few: fewer than ten false positives",
        "ratio *",
        "epsilon infinite",
        "delta 1e-5",
        "Epsilon is infinite: no differential privacy is claimed. Why: predictions leave without noise.",
        "no leakage measured (this is no proof of privacy)",
        "REFUTED: predictions leak nothing about members (the paper's abstract). AUC is above chance.",
        "fedprivacy 0.1.0, torch 2.13.0, numpy 2.4.1",
        "1 min 11 s wall, 1 min 59 s cpu",
        "9f3a1c77d2e0",
        "2 exact duplicates were dropped",
        "3 statistics are compared here",
    ):
        assert words in text, words


def test_many_clients_are_summed_up_and_no_failure_is_lost(results: Results) -> None:
    text = joined(printed(results["hundred_clients"](), 100))
    assert len(text) < 6000
    assert "Lowest, median and highest AUC of 100 clients" in text
    assert (
        "rmia failed at client-3, client-13, client-23, client-33, client-43, client-53 and 4 more: too few references"
        in text
    )
    assert "0.550 [0.53, 0.57]" in text
    assert "0.748 [0.73, 0.77]" in text
    assert "leaks at 100 of 100 clients" in text


def test_no_leakage_of_membership_is_not_no_leakage(results: Results) -> None:
    """Where records were reconstructed too, the sentences are told to be of membership alone."""
    alone = results["ordinary"]()
    (seen,) = [f for f in results["other_attacks"]().findings if f.statistic == "cosine"]
    both = replace(alone, findings=(*alone.findings, seen))
    assert "What each adversary learned of membership" in printed(both, 80)
    assert "learned of membership" not in printed(alone, 80)


def test_nothing_measured_is_said_as_such(results: Results) -> None:
    bare = joined(printed(results["no_findings"](), 80))
    assert "No attack was run: nothing is known about leakage." in bare
    assert "No baseline was run" in bare
    foreign_scores = joined(printed(results["scores_only"](), 80))
    assert "No utility was measured." in foreign_scores
    assert "Nothing crossed the wire." in foreign_scores
    below = joined(printed(results["all_below"](), 80))
    for rate in ("10%", "1%"):
        assert f"TPR at {rate} FPR is '-' everywhere, below resolution" in below
    assert "inconclusive (too few records for a verdict)" in below
    assert "the declared attack failed, so there is no verdict" in joined(printed(results["only_errors"](), 80))


def test_other_attacks_have_metric_value_chance_and_interval(results: Results) -> None:
    text = printed(results["other_attacks"](), 120)
    for words in (
        "Leakage: labels",
        "0.312 [0.28, 0.35]",
        "0.680",
        "above interval",
        "17.1 [14, 20] (a)",
        "below interval",
        "(a) not better than the closest public image",
        "(b) loss is not finite",
        "2.16",
    ):
        assert words in text
    assert "An upper bound for one record, over all 12 releases." in joined(text)


def test_markup_in_names_is_shown_and_not_obeyed(results: Results) -> None:
    text = printed(results["foreign"](), 100)
    assert "[red]η|π[/red]" in text
    assert "Föderal-学習" in text
    assert "\ufffd[31mserver" in text


@pytest.mark.parametrize(
    ("up", "down", "fedavg", "words"),
    [
        (50, 50, 100, "mutual sends as many bytes"),
        (100, 100, 100, "mutual sends 2 times more bytes"),
        (0, 0, 100, "mutual sends nothing"),
        (99, 0, 100, "1.0% fewer bytes"),
        (100_000, 20, 100_000, "mutual sends as many bytes, to within 0.1%"),
        (10, 0, 0, "was not counted, so there is no ratio"),
    ],
)
def test_the_ratio_to_federated_averaging(results: Results, up: int, down: int, fedavg: int, words: str) -> None:
    wire = Communication(up, down, 7, up + down, fedavg, ((up, down),))
    assert words in joined(printed(replace(results["ordinary"](), communication=wire), 100))


def test_federated_averaging_is_not_held_against_itself(results: Results) -> None:
    base = results["ordinary"]()
    sent = base.communication.fedavg_bytes
    same = replace(base.communication, up_bytes=sent // 2, down_bytes=sent - sent // 2, public_bytes=0)
    averaging = replace(base, config={**base.config, "defense": {"name": "none"}}, communication=same)
    masked = replace(averaging, config={**averaging.config, "defense": {"name": "secure-aggregation"}})
    assert "FedAvg of the same model" not in joined(printed(averaging, 100))
    assert "FedAvg of the same model" in joined(printed(masked, 100))


def test_different_models_cannot_be_averaged(results: Results) -> None:
    base = results["ordinary"]()
    training = {**base.config["training"], "client_models": ("mlp", "cnn")}
    text = joined(printed(replace(base, config={**base.config, "training": training}), 100))
    assert "FedAvg of models as large, if it could average different ones, sends 48.8 MB" in text


def test_a_protocol_that_loses_is_told_so(results: Results, make: SimpleNamespace) -> None:
    base = results["ordinary"]()
    better = {"test_accuracy": make.interval(make.per_client(0.9, 0.003), 0.005)}
    worse = replace(base, baselines=(replace(base.baselines[0], utility=better),))
    assert "mutual is worse than local in test accuracy: -0.0470" in joined(printed(worse, 100))


def test_a_lower_loss_is_the_better_one(results: Results) -> None:
    base = results["ordinary"]()
    ours, other = Interval(0.4, 0.38, 0.42, {}, 5, "seeds"), Interval(0.6, 0.55, 0.65, {}, 5, "seeds")
    run = replace(
        base, utility={"test_loss": ours}, baselines=(replace(base.baselines[0], utility={"test_loss": other}),)
    )
    text = joined(printed(run, 100))
    assert "mutual beats local in test loss: -0.200 [-0.25, -0.15]." in text
    assert "mean over 5 seeds with 95% interval" in text
    assert "taken as independent" in text


def test_an_incomplete_or_vacuous_claim_is_no_claim(results: Results) -> None:
    base = results["other_attacks"]()
    gap = replace(base, privacy=replace(base.privacy, unit=""))
    assert "No claim: unit not stated." in joined(printed(gap, 80))
    vacuous = replace(
        base, privacy=replace(base.privacy, vacuous=True, seeded=True, cross_check=4.31, worst="client-3")
    )
    text = joined(printed(vacuous, 80))
    assert "Vacuous: delta is one over the records of a client, or more." in text
    assert "The noise came from a named seed: for measurement only, no guarantee." in text
    assert "second accountant epsilon 4.31" in text
    assert "worst record client-3" in text


def test_a_control_row_comes_last_and_is_no_statistic(results: Results, make: SimpleNamespace) -> None:
    note = "ratio on shuffled coins: must cover chance"
    control = make.rates("null (shuffled coins)", 0.5082, 0.1161, 0.0113, note=note)
    findings = (
        *control,
        *make.rates("ratio", 0.7764, 0.4123, 0.1207, headline=True),
        *make.rates("loss", 0.6, 0.2, 0.03),
    )
    text = printed(replace(results["ordinary"](), findings=findings), 140)
    assert text.index("ratio *") < text.index("loss") < text.index("null (shuffled coins) (")
    assert "2 statistics are compared here" in text
    row = next(line for line in text.splitlines() if line.startswith("null"))
    assert row.startswith("null (shuffled coins) (a)  0.508 [0.49, 0.53]  0.116 [0.07, 0.17] 99 FP ")
    assert row.endswith("9 FP, few")
    assert f"(a) {note}" in text


@pytest.mark.parametrize("width", [80, 140])
def test_what_is_below_resolution_everywhere_is_a_note_and_no_column(results: Results, width: int) -> None:
    text = joined(printed(results["ordinary"](), width))
    assert "- (" not in text
    assert "TPR at 0.1% FPR is '-' everywhere, below resolution: 0.1% FPR needs at least 1,000 non-members" in text


def test_further_measures_are_one_table(results: Results) -> None:
    base = results["ordinary"]()
    run = replace(base, utility={**base.utility, "test_loss": Interval(0.44, 0.43, 0.45, {}, 5, "clients")})
    text = printed(run, 100)
    assert re.search(r"mutual \(this run\) +0\.440 \[0\.43, 0\.45\]", text)
    assert "Other measures, mean with 95% interval" in text
    assert text.count("by client\n") == 1


def test_unpaired_intervals_that_overlap_do_not_speak_against_a_paired_verdict(results: Results) -> None:
    base = results["ordinary"]()
    ours, other = Interval(0.86, 0.84, 0.88, {}, 5, "seeds"), Interval(0.85, 0.83, 0.87, {}, 5, "seeds")
    run = replace(
        base, utility={"test_accuracy": ours}, baselines=(replace(base.baselines[0], utility={"test_accuracy": other}),)
    )
    text = joined(printed(run, 100))
    assert (
        "The intervals of mutual and local do not tell them apart in test accuracy: +0.010 [-0.02, +0.04] (not paired)."
        in text
    )


def test_rounds_that_differ_are_listed_by_run_of_equal_rounds(results: Results) -> None:
    base = results["ordinary"]()
    wire = replace(base.communication, per_round=((1000, 2000),) * 3 + ((5000, 9000),))
    text = joined(printed(replace(base, communication=wire), 80))
    assert "1 to 3 1.00 kB 2.00 kB 4 5.00 kB 9.00 kB" in text


def test_chance_stands_in_the_head_and_beside_a_number_only_where_it_is_another(
    results: Results, make: SimpleNamespace
) -> None:
    few = make.rates("fedmia", 0.61, 0.2, 0.03, members=400, non_members=400, chance_low=0.46, chance_high=0.54)
    base = results["ordinary"]()
    text = printed(replace(base, findings=(*base.findings[:8], *few)), 140)
    head, under = next(
        (line, below) for line, below in pairwise(text.splitlines()) if line.startswith("statistic") and "AUC" in line
    )
    assert under.startswith("chance") and "0.500 [0.47, 0.53]" in under
    assert "TPR at 10% FPR" in head
    assert text.count("chance 0.500 [0.46, 0.54]") == 1
    assert "chance 0.500 [0.47, 0.53]" not in text
