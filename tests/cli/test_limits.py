"""Limits for scripts: what breaks one, what keeps one, and what is no number to hold against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedprivacy.cli.limits import Limits, broken
from fedprivacy.judge.result import (
    Audit,
    AuditRow,
    Communication,
    Finding,
    Interval,
    PrivacyClaim,
    Provenance,
    RunResult,
)

Call = Callable[..., Any]


def finding(**changes: Any) -> Finding:
    base = Finding(
        "membership", "weights", "loss", "server", "all clients", "AUC", 0.7, 0.5, 0.6, 0.8, 0.95, 900, headline=True
    )
    return replace(base, **changes)


def result(*findings: Finding, epsilon: float | None = 4.0, audit: Audit | None = None) -> RunResult:
    return RunResult(
        {},
        {"test_accuracy": Interval(0.8, 0.7, 0.9)},
        (),
        Communication(0, 0, 0, 0, 0, ()),
        PrivacyClaim("record", "add-remove", epsilon, 1e-5, "PLD", 1),
        findings,
        (),
        Provenance({}, 0, 1, 1, 1, 0.0, 0.0, ""),
        audit,
    )


BOUND = AuditRow("server", "weights", "loss", "one run", "none", 5.0, 9.0, "", True)
AUDIT = Audit(
    "record", "add-remove", "records", 100, 1, 4.0, 1e-5, 0.95, (BOUND, replace(BOUND, judged=False, low=99.0))
)


@pytest.mark.parametrize(
    ("found", "above", "below", "code", "words"),
    [
        (result(finding()), "auc=0.65", "", 0, ""),
        (result(finding()), "auc=0.59", "", 1, "above the limit: AUC 0.7000 [0.6000, 0.8000] > 0.59"),
        (result(finding(flag="few")), "auc=0.65", "", 1, "too few records"),
        (result(finding(value=None, low=None, flag="below")), "auc=0.65", "", 1, "no number for the limit"),
        (result(finding(value=None, low=None, flag="error", note="gone")), "auc=0.9", "", 1, "gone"),
        (
            result(finding(members=40, non_members=900)),
            "auc=0.65",
            "",
            1,
            "40 members and 900 non-members, 100 of each",
        ),
        (result(finding(headline=False)), "auc=0.59", "", 1, "no headline finding"),
        (result(finding()), "epsilon=4", "", 0, ""),
        (result(finding()), "epsilon=3.9", "", 1, "epsilon 4 > 3.9"),
        (result(epsilon=None), "epsilon=100", "", 1, "epsilon is infinite"),
        (result(audit=AUDIT), "epsilon=4.5", "", 1, "measured epsilon at least 5"),
        (result(audit=AUDIT), "epsilon=5", "", 0, ""),
        (result(), "", "accuracy=0.85", 0, ""),
        (result(), "", "accuracy=0.91", 1, "below the limit: accuracy 0.8000 [0.7000, 0.9000] < 0.91"),
    ],
)
def test_a_limit_is_broken_by_a_whole_interval_and_kept_by_nothing_less_than_a_verdict(
    found: RunResult, above: str, below: str, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = Limits.parsed((above,) if above else (), (below,) if below else ())
    assert broken(found, limits) == code
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == code


@pytest.mark.parametrize("text", ["epsilon=-1", "epsilon=nan", "accuracy=0.5", "auc=1", "tpr@2%fpr=0.1"])
def test_a_limit_that_decides_nothing_is_told(text: str, fedprivacy: Call) -> None:
    for verb in ("run --attack membership", "compare fedavg", "audit --defense dp-sgd --epsilon 4", "attack x"):
        ended = fedprivacy(f"{verb} --fail-above {text}")
        assert ended.code == 2 and "--fail-above" in ended.complaint
    assert "--fail-below" in fedprivacy("run --fail-below auc=0.5").complaint


def test_scores_of_a_file_are_held_against_limits(fedprivacy: Call) -> None:
    draw = np.random.default_rng(0)
    member = np.arange(2000) % 2
    np.savez("leaky.npz", member=member, scores=member + draw.normal(size=2000))
    assert fedprivacy("attack --scores leaky.npz --fail-above auc=0.6").code == 1
    assert fedprivacy("attack --scores leaky.npz --fail-above auc=0.9").code == 0
    assert fedprivacy("audit --scores leaky.npz --epsilon 4 --fail-above epsilon=3 --format json").code == 1
    assert fedprivacy("audit --scores leaky.npz --epsilon 4 --fail-above epsilon=4 --format json").code == 0


def test_a_comparison_names_who_broke_the_limit(fedprivacy: Call) -> None:
    ended = fedprivacy("compare local central {small} --fail-below accuracy=0.99")
    assert ended.code == 1 and "local-training" in ended.err and "below the limit" in ended.err
