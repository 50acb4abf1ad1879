"""The verdict on several runs: never more than their paired intervals, or their outcomes against chance, say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from fedprivacy.judge.result import Finding, PrivacyClaim, RunResult
from fedprivacy.reporting.document import Banner
from fedprivacy.reporting.sections.several import compared, swept

Results = Mapping[str, Callable[[], RunResult]]
SEEDS = (0.01, -0.01, 0.005, -0.005, 0.0)


def of_five_seeds(base: RunResult, active: float) -> RunResult:
    """``base`` with a headline AUC of the active server of ``active`` over five seeds."""
    changed = [
        replace(f, value=active, low=active - 0.01, high=active + 0.01, per_seed=tuple(active + s for s in SEEDS))
        if f.headline and f.metric == "AUC" and f.target == "all clients" and f.adversary.endswith("(active)")
        else f
        for f in base.findings
    ]
    return replace(base, findings=tuple(changed))


@pytest.mark.parametrize(
    ("one", "words", "tone"),
    [
        (0.6, "b leaks less of membership to the active server than a", "good"),
        (0.9, "b leaks more of membership to the active server than a", "bad"),
        (0.776, "Not settled: whether b leaks less of membership to the active server than a", "warn"),
    ],
)
def test_two_runs_are_told_apart_by_their_paired_difference(
    results: Results, one: float, words: str, tone: str
) -> None:
    first, other = (of_five_seeds(results["ordinary"](), value) for value in (0.776, one))
    other = replace(other, findings=tuple(_moved(other)))
    banner = compared([first, other], ["a", "b"])
    assert (banner.verdict, banner.tone) == (words, tone)
    assert banner.metric == "difference in AUC" and "[" in banner.number and "5 seeds" in banner.about


def _moved(result: RunResult) -> list[Finding]:
    """Differences over seeds that are not all the same, so that their interval has a width."""
    shifts = (0.003, -0.002, 0.001, 0.0, -0.002)
    return [
        replace(f, per_seed=tuple(v + s for v, s in zip(f.per_seed, shifts, strict=True))) if f.per_seed else f
        for f in result.findings
    ]


def test_one_seed_settles_nothing(results: Results) -> None:
    banner = compared([results["ordinary"](), results["ordinary"]()], ["a", "b"])
    assert banner.verdict.startswith("Not settled") and banner.tone == "warn"
    assert (banner.metric, banner.against) == ("AUC of b", "a 0.776 [0.76, 0.80]")


def test_runs_without_a_common_seat_are_not_compared(results: Results) -> None:
    banner = compared([results["ordinary"](), results["no_findings"]()], ["a", "b"])
    assert (banner.verdict, banner.number) == ("2 runs side by side: no seat was attacked in two of them", "")


def budgets(results: Results, leaks: Sequence[bool]) -> Banner:
    """Of budgets 1, 2, ... in order and a run without noise; a run that does not leak is the passive server's."""
    base = results["ordinary"]()
    quiet = replace(base, findings=tuple(f for f in base.findings if not f.adversary.endswith("(active)")))
    claim = PrivacyClaim("record", "add-remove", 1.0, 1e-5, "PLD", 12)
    noisy = [
        replace(base if leak else quiet, privacy=replace(claim, epsilon=float(place + 1)))
        for place, leak in enumerate(leaks)
    ]
    return swept([*noisy, base])


def test_the_largest_budget_without_a_leak_is_named_with_its_cost(results: Results) -> None:
    banner = budgets(results, [False, False, True])
    assert banner.verdict == "At epsilon 2 no leakage of membership was measured; this is no proof of privacy"
    assert (banner.metric, banner.number) == ("test accuracy, change", "0.000 [0.000, 0.000]")
    assert banner.about == "0.8590 [0.851, 0.867] against 0.8590 [0.851, 0.867] without noise"


def test_a_leak_at_every_budget_is_said_with_the_number_of_the_smallest(results: Results) -> None:
    banner = budgets(results, [True, False])
    assert banner.verdict == "Membership leaks at every epsilon that was tried, down to 1" and banner.tone == "bad"
    assert (banner.metric, banner.number) == ("AUC", "0.776 [0.76, 0.80]")


def test_what_was_not_attacked_is_not_called_private(results: Results) -> None:
    silent = replace(results["no_findings"](), privacy=PrivacyClaim("record", "add-remove", 1.0, 1e-5, "PLD", 12))
    banner = swept([silent, results["no_findings"]()])
    assert (banner.verdict, banner.tone) == ("2 budgets: nothing is known about leakage under noise", "warn")
    few = replace(results["all_below"](), privacy=silent.privacy)
    assert swept([few]).verdict == "Not settled at any epsilon that was tried, down to 1: no attack is clear"
