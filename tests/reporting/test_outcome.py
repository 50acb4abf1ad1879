"""What a finding may say against chance, and the sentences that follow."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fedprivacy.judge.result import JUDGED_FROM, READ_EXACTLY, Finding, Verdict
from fedprivacy.judge.verdicts import STRONGER_KNOWN
from fedprivacy.reporting.findings import groups, is_client, main_target, metric_name
from fedprivacy.reporting.outcome import NO_LEAKAGE, against_chance, overall
from fedprivacy.reporting.sections.banner import _others
from fedprivacy.reporting.sections.verdicts import adversary_lines, verdict_line


def lines_of(*findings: Finding) -> list[str]:
    return [line.text for group in groups(findings) for line in adversary_lines(group)]


def test_chance_inside_the_interval_is_no_leakage_and_no_proof(make: SimpleNamespace) -> None:
    (line,) = lines_of(*make.rates("ratio", 0.5043, 0.1045, 0.0113, headline=True))
    assert f"{NO_LEAKAGE}: " in line
    assert "no leakage measured (this is no proof of privacy)" in line
    assert "leaks" not in line
    assert "AUC 0.504 [0.48, 0.53]; without leakage 0.500 [0.47, 0.53]" in line


def test_a_clear_headline_leaks_with_its_numbers(make: SimpleNamespace) -> None:
    (line,) = lines_of(*make.rates("ratio", 0.7764, 0.4123, 0.1207, headline=True))
    assert line.startswith("server (active): membership leaks: AUC 0.776 [0.76, 0.80]; without leakage 0.500")
    assert (
        "(ratio on planted probes). Wrong about 10% of the non-members, it recognises 41% [37%, 46%] of the members"
        in line
    )


def test_a_headline_that_is_not_the_strongest_known_says_so(make: SimpleNamespace) -> None:
    note = f"default grade; {STRONGER_KNOWN}: joint decoding"
    (line,) = lines_of(make.auc("ratio", 0.504, 0.02, headline=True, note=note))
    assert line.endswith("(ratio on planted probes). A stronger attack is known and was not run.")


def test_a_number_on_few_false_positives_carries_no_verdict(make: SimpleNamespace) -> None:
    few = make.tpr("ratio", 1, 0.5, 0.4, 0.6, 9)
    assert few.flag == "few"
    assert against_chance(few) == "unjudged"
    assert against_chance(replace(few, flag="")) == "leak"


def test_a_leak_at_a_low_rate_alone_is_told_as_one_of_some_records(make: SimpleNamespace) -> None:
    sharp = make.tpr("ratio", 10, 0.25, 0.2, 0.3, 99, headline=True)
    (line,) = lines_of(make.auc("ratio", 0.505, 0.02, headline=True), sharp)
    assert "membership of some records leaks: " in line
    assert NO_LEAKAGE not in line


@pytest.mark.parametrize(
    ("value", "half", "outcome"),
    [(0.60, 0.02, "leak"), (0.51, 0.02, "none"), (0.40, 0.02, "reversed"), (0.52, 0.01, "unclear")],
)
def test_outcomes(make: SimpleNamespace, value: float, half: float, outcome: str) -> None:
    assert against_chance(make.auc("ratio", value, half)) == outcome


@pytest.mark.parametrize(("value", "half"), [(0.40, 0.02), (0.52, 0.01)])
def test_reversed_and_unclear_headlines_are_inconclusive(make: SimpleNamespace, value: float, half: float) -> None:
    (line,) = lines_of(make.auc("ratio", value, half, headline=True))
    assert "inconclusive" in line


def test_only_a_declared_headline_gets_a_verdict(make: SimpleNamespace) -> None:
    (line,) = lines_of(*make.rates("loss", 0.9, 0.8, 0.5))
    assert line.endswith("no headline statistic was declared, so there is no verdict.")
    (line,) = lines_of(*make.rates("loss", 0.9, 0.8, 0.5), make.auc("ratio", 0.5, 0.02, headline=True))
    assert "(ratio on planted probes)" in line
    assert "0.9" not in line


def test_a_failed_headline_says_why(make: SimpleNamespace) -> None:
    failed = make.failed("ratio", "ValueError: no references", headline=True)
    assert overall({"auc": failed}) == "failed"
    (line,) = lines_of(failed)
    assert (
        "the declared attack failed, so there is no verdict (ratio on planted probes): ValueError: no references."
        in line
    )


def test_clients_alone_are_counted(make: SimpleNamespace) -> None:
    leaks = [make.auc("ratio", 0.7, 0.02, headline=True, target=f"client-{k}") for k in range(3)]
    quiet = [make.auc("ratio", 0.5, 0.02, headline=True, target=f"client-{k}") for k in range(3, 5)]
    (line,) = lines_of(*leaks, *quiet)
    assert "leaks at 3 of 5 clients. By ratio, AUC 0.50 to 0.70. Each client was judged alone." in line
    (line,) = lines_of(*quiet)
    assert f"{NO_LEAKAGE} at any of 2 clients." in line
    (line,) = lines_of(*quiet, make.failed("ratio", "no shadows", headline=True, target="client-9"))
    assert "not all could be judged" in line


def test_stored_verdicts_read_as_sentences() -> None:
    line = verdict_line(Verdict("epsilon is 4", "the accountant", "refuted", "the bound is 5.1"))
    assert (line.text, line.tone) == ("REFUTED: epsilon is 4 (the accountant). The bound is 5.1.", "bad")
    assert verdict_line(Verdict("x", "", "not refuted", "")).text == "NOT REFUTED: x."


def test_the_main_target_is_the_pool_of_all_clients(make: SimpleNamespace) -> None:
    def of(*targets: str) -> str | None:
        return main_target([make.auc("ratio", 0.5, 0.1, target=target) for target in targets])

    assert of("client-0", "most vulnerable tenth", "pooled") == "pooled"
    assert of("client-0", "every client") == "every client"
    assert of("client-0", "client-1") is None
    assert of("client-7") == "client-7"
    assert is_client("client-12")
    assert not is_client("clients")


def test_metric_names() -> None:
    names = {
        "auc": "AUC",
        "TPR@0.1%FPR": "TPR at 0.1% FPR",
        "tpr@10%": "TPR at 10% FPR",
        "label_accuracy": "label accuracy",
    }
    assert {metric: metric_name(metric) for metric in names} == names


def test_few_candidates_decide_nothing(make: SimpleNamespace) -> None:
    clear = replace(make.auc("ratio", 0.9, 0.02, headline=True), members=JUDGED_FROM, non_members=JUDGED_FROM)
    assert against_chance(clear) == "leak"
    few = replace(clear, non_members=JUDGED_FROM - 1)
    assert against_chance(few) == "unjudged"
    (line,) = lines_of(few)
    assert "too few records for a verdict" in line


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        ("nearest public image of the class", "can reconstruct records of clients"),
        ("public mean of the class", "can reconstruct what each class of a client looks like on average"),
    ],
)
def test_a_reconstruction_by_class_is_not_told_as_one_of_records(guess: str, words: str) -> None:
    def finding(metric: str, value: float) -> Finding:
        row = ("inversion", "clients' updates", "chosen attack", "server (honest-but-curious)", "all messages")
        return Finding(*row, metric, value, 0.0, value - 0.5, value + 0.5, 0.95, 40, headline=True)

    gains = ("mean public image", guess, "null (another client's message)")
    found = [finding("PSNR (dB)", 20.0), *(finding(f"PSNR gain (dB) over the {name}", 2.0) for name in gains)]
    (said,) = _others(found)
    assert words in said.verdict
    read = replace(finding(READ_EXACTLY, 0.2), n=5, low=0.01, high=0.7)
    (said,) = _others([*found, read])
    assert said.verdict == "The server read 1 of 5 messages exactly, record by record" and said.metric == READ_EXACTLY
    (said,) = _others([*found, replace(read, value=1.0)])
    assert said.verdict == "The server read all 5 messages exactly, record by record" and said.metric == "PSNR (dB)"
    (said,) = _others([*found, replace(read, value=0.0)])
    assert words in said.verdict
