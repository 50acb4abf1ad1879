"""Federations held against the first, seed by seed: in the accuracy that counts, and in bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedprivacy.config.run import RunConfig
from fedprivacy.judge import differences, verdicts
from fedprivacy.judge.result import (
    Baseline,
    Communication,
    Interval,
    PrivacyClaim,
    Provenance,
    RunResult,
    main_metric,
)
from fedprivacy.metrics.intervals import paired_interval
from fedprivacy.study.utility import paired


def interval(*per_seed: float) -> Interval:
    mean = sum(per_seed) / len(per_seed)
    return Interval(
        mean, min(per_seed), max(per_seed), {}, len(per_seed), "seeds", per_seed if len(per_seed) > 1 else ()
    )


def run(sent: tuple[int, ...] = (1000, 1000, 1000), seeds: int = 3, **utility: Interval) -> RunResult:
    config = {**RunConfig().model_dump(mode="json"), "seeds": seeds}
    wire = Communication(sent[0], 0, 0, 0, 0, ((sent[0], 0),), per_seed=sent if len(sent) > 1 else ())
    claim = PrivacyClaim("record", "add-remove", None, 0.0, "", 0)
    return RunResult(config, utility, (), wire, claim, (), (), Provenance({}, 0, seeds, 1, 1, 0.0, 0.0, ""))


LOW, HIGH = interval(0.70, 0.72, 0.71), interval(0.80, 0.81, 0.82)


def of(found: list) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in found}


def test_better_and_worse_models_over_the_same_seeds() -> None:
    low, high = run(test_accuracy=LOW), run(test_accuracy=HIGH)
    assert of(differences.utility([("a", low), ("b", replace(high, config={**high.config, "protocol": "b"}))])) == {
        "b trains better models than a": "supported"
    }
    (verdict,) = differences.utility([("a", high), ("b", replace(low, config={**low.config, "protocol": "b"}))])
    gap = paired_interval(LOW.per_seed, HIGH.per_seed)
    assert verdict.verdict == "refuted"
    assert (
        f"paired difference {100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}] points" in verdict.why
    )


def test_where_clients_hold_different_classes_their_own_accuracy_counts() -> None:
    """On all classes the first is better, on what each client holds the second is, and that decides."""
    first = run(test_accuracy=HIGH, test_own_accuracy=LOW)
    second = run(test_accuracy=LOW, test_own_accuracy=HIGH)
    other = replace(second, config={**second.config, "protocol": "other"})
    (verdict,) = differences.utility([("first", first), ("second", other)])
    assert verdict.verdict == "supported" and "each client's own classes 81.0% against 71.0%" in verdict.why
    assert main_metric(first.utility) == "test_own_accuracy"
    assert main_metric(first.utility, run(test_accuracy=LOW).utility) == "test_accuracy"
    assert main_metric({"test_loss": LOW}) == "test_loss" and main_metric({}) == ""


def test_a_baseline_is_judged_by_own_accuracy_too() -> None:
    plain = {"client-0": {"accuracy": 0.4, "own_accuracy": 0.8}, "client-1": {"accuracy": 0.5, "own_accuracy": 0.9}}
    other = {"client-0": {"accuracy": 0.7, "own_accuracy": 0.6}, "client-1": {"accuracy": 0.7, "own_accuracy": 0.5}}
    gap = paired([plain, plain], [other, other], 0.95)
    assert gap is not None and gap.value == pytest.approx(0.3)
    own = {"test_accuracy": LOW, "test_own_accuracy": HIGH}
    rival = Baseline("local", "alone", {"test_accuracy": HIGH, "test_own_accuracy": LOW}, 0, 0)
    (verdict,) = verdicts.utility("fml", own, [rival], {"local": gap})
    assert verdict.verdict == "supported" and "own accuracy 81.0% against 71.0%" in verdict.why


@pytest.mark.parametrize(
    ("own", "rival", "kind"),
    [
        ((500, 510, 505), (1000, 1000, 1000), "supported"),
        ((1000, 1000, 1000), (500, 510, 505), "refuted"),
        ((1000, 1000, 1000), (1010, 1010, 1010), "inconclusive"),
        ((100, 2000, 600), (1000, 900, 1100), "inconclusive"),
        ((500,), (1000,), "supported"),
    ],
)
def test_bytes(own: tuple[int, ...], rival: tuple[int, ...], kind: str) -> None:
    one, first = run(own, len(own), test_accuracy=LOW), run(rival, len(rival), test_accuracy=LOW)
    one = replace(one, config={**one.config, "protocol": "other"})
    assert of(differences.traffic([("first", first), ("one", one)])) == {"one sends fewer bytes than first": kind}


def test_one_seed_another_game_and_one_federation_decide_nothing() -> None:
    low = run(test_accuracy=LOW)
    single = run(seeds=1, test_accuracy=interval(0.9))
    moved = replace(run(test_accuracy=HIGH), config={**low.config, "clients": 9})
    other = replace(single, config={**single.config, "protocol": "other"})
    assert "one seed decides nothing" in differences.utility([("a", single), ("b", other)])[0].why
    assert "the runs differ in clients" in differences.utility([("a", low), ("b", moved)])[0].why
    share = replace(low, config={**low.config, "attack": {"known_share": 0.5}})
    assert differences.utility([("a", low), ("a, 50% known", share)]) == []
