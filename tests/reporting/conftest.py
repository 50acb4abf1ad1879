"""Results built by hand, ordinary and awkward, for every test of the reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import (
    Baseline,
    Communication,
    Finding,
    Interval,
    PrivacyClaim,
    Provenance,
    RunResult,
    Verdict,
)
from fedprivacy.metrics.chance import auc_chance, tpr_chance

ACTIVE, PASSIVE = "server (active)", "server (honest-but-curious)"
N1, N0 = 1004, 996
COUNTS: Mapping[str, Any] = {"level": 0.95, "members": N1, "non_members": N0, "n": N1 + N0}


def auc_finding(statistic: str, value: float, half: float, **changes: Any) -> Finding:
    band = auc_chance(N1, N0)
    base: dict[str, Any] = {
        "attack": "membership", "observation": "planted probes", "statistic": statistic, "adversary": ACTIVE,
        "target": "all clients", "metric": "AUC", "value": value, "chance": 0.5, "low": value - half,
        "high": value + half, "chance_low": band.low, "chance_high": band.high, **COUNTS,
    }  # fmt: skip
    return Finding(**{**base, **changes})


def tpr_finding(
    statistic: str, fpr: float, value: float | None, low: float, high: float, hits: int, **changes: Any
) -> Finding:
    n1, n0 = changes.get("members", N1), changes.get("non_members", N0)
    band = tpr_chance(n1, n0, fpr / 100)
    base: dict[str, Any] = {
        "attack": "membership", "observation": "planted probes", "statistic": statistic, "adversary": ACTIVE,
        "target": "all clients", "metric": f"TPR@{fpr:g}%FPR", "value": value, "chance": band.value,
        "low": low if value is not None else None, "high": high if value is not None else None,
        "chance_low": band.low, "chance_high": band.high, "false_positives": hits, **COUNTS,
        "flag": "below" if value is None else "few" if fpr * n0 < 1000 else "",
    }  # fmt: skip
    return Finding(**{**base, **changes})


def rates(statistic: str, area: float, ten: float, one: float, **changes: Any) -> tuple[Finding, ...]:
    """AUC and TPR at three levels, as an examiner stores them for about two thousand candidates."""
    return (
        auc_finding(statistic, area, 0.0213, **changes),
        tpr_finding(statistic, 10, ten, ten - 0.047, ten + 0.049, 99, **changes),
        tpr_finding(statistic, 1, one, max(0.0, one - 0.031), one + 0.046, 9, **changes),
        tpr_finding(statistic, 0.1, None, 0, 0, 0, **changes),
    )


def failed(statistic: str, cause: str, **changes: Any) -> Finding:
    nothing: dict[str, Any] = {"value": None, "low": None, "high": None, "flag": "error", "note": cause}
    return replace(auc_finding(statistic, 0.5, 0.1, **changes), **nothing)


def interval(values: Mapping[str, float], half: float) -> Interval:
    mean = sum(values.values()) / len(values)
    return Interval(mean, mean - half, mean + half, values, len(values), "clients")


def per_client(start: float, step: float, clients: int = 5) -> dict[str, float]:
    return {f"client-{k}": start + step * k for k in range(clients)}


def ordinary() -> RunResult:
    """A mutual run with an active and an honest-but-curious server, two baselines and a stored verdict."""
    config = RunConfig.model_validate(
        {"attack": {"attacks": ("membership",)}, "options": {"kl": "proper", "payload": "probabilities"}}
    ).model_dump(mode="json")
    quiet: dict[str, Any] = {"adversary": PASSIVE, "observation": "surrogate"}
    findings = (
        *rates("ratio", 0.7764, 0.4123, 0.1207, headline=True),
        *rates("loss", 0.6612, 0.2345, 0.0412),
        *(f for k in range(5) for f in _client_rates(k)),
        *rates("ratio", 0.5043, 0.1045, 0.0113, headline=True, **quiet),
        *rates("loss", 0.5101, 0.1101, 0.0122, **quiet),
        failed("mentr", "surrogate: logits are constant", **quiet),
    )
    mixed = dict(zip(per_client(0, 0), (0.86, 0.85, 0.87, 0.84, 0.87), strict=True))
    return RunResult(
        config=config,
        utility={"test_accuracy": interval(per_client(0.851, 0.004), 0.0078)},
        baselines=(
            Baseline("local", "no exchange at all", {"test_accuracy": interval(per_client(0.801, 0.003), 0.006)}, 0, 0),
            Baseline(
                "local + public labels",
                "trains on the public folds too",
                {"test_accuracy": interval(mixed, 0.01)},
                0,
                0,
            ),
        ),
        communication=Communication(
            up_bytes=316_800,
            down_bytes=1_267_200,
            public_bytes=18_816_000,
            payload_bytes=1_440_000,
            fedavg_bytes=48_843_840,
            per_round=((26_400, 105_600),) * 12,
        ),
        privacy=PrivacyClaim("record", "add-remove", None, 1e-5, "none", 60, "predictions leave without noise"),
        findings=findings,
        verdicts=(
            Verdict("predictions leak nothing about members", "the paper's abstract", "refuted", "AUC is above chance"),
            Verdict("mutual learning sends 100 times less", "the paper, part 4", "not refuted", "31 times here"),
        ),
        provenance=Provenance(
            {"fedprivacy": "0.1.0", "torch": "2.13.0", "numpy": "2.4.1"}, 0, 1, 2, 1, 71.43, 118.9, "9f3a1c77d2e0",
            ("2 exact duplicates were dropped",),
        ),
    )  # fmt: skip


def _client_rates(number: int) -> tuple[Finding, ...]:
    sizes = {"members": 200 + number, "non_members": 200 - number, "n": 400}
    place: dict[str, Any] = {"target": f"client-{number}", "headline": True, **sizes}
    band = auc_chance(200 + number, 200 - number)
    return (
        auc_finding(
            "ratio", 0.75 + 0.01 * number, 0.0487, chance_low=band.low, chance_high=band.high, **place
        ),
        tpr_finding("ratio", 10, 0.4, 0.3, 0.5, 20, **place),
        tpr_finding("ratio", 1, 0.11, 0.01, 0.22, 2, **place),
        tpr_finding("ratio", 0.1, None, 0, 0, 0, **place),
    )  # fmt: skip


def no_findings() -> RunResult:
    return replace(ordinary(), findings=(), verdicts=(), baselines=())


def scores_only() -> RunResult:
    """Scores of models trained elsewhere: no configuration, no utility, nothing on a wire."""
    return replace(
        ordinary(),
        config={},
        utility={},
        baselines=(),
        communication=Communication(0, 0, 0, 0, 0, ()),
        findings=rates("scores", 0.612, 0.2, 0.03, headline=True, observation="scores.npz", adversary="any"),
    )


def all_below() -> RunResult:
    """Twelve candidates: no rate has a number, and no AUC either."""
    few: dict[str, Any] = {"members": 6, "non_members": 6, "n": 12, "headline": True}
    return replace(ordinary(), findings=tuple(tpr_finding("ratio", f, None, 0, 0, 0, **few) for f in (10, 1, 0.1)))


def only_errors() -> RunResult:
    return replace(ordinary(), findings=(failed("ratio", "ValueError: no references", headline=True),))


def hundred_clients() -> RunResult:
    base = ordinary()
    findings = []
    for k in range(100):
        place: dict[str, Any] = {"target": f"client-{k}", "headline": True}
        findings += list(rates("ratio", 0.55 + 0.002 * ((k * 37) % 100), 0.2, 0.03, **place))
        if k % 10 == 3:
            findings.append(failed("rmia", "too few references", target=f"client-{k}"))
        else:
            findings.append(auc_finding("rmia", 0.6, 0.02, target=f"client-{k}"))
    return replace(
        base,
        config={**base.config, "clients": 100},
        utility={"test_accuracy": interval(per_client(0.7, 0.001, 100), 0.004)},
        baselines=(Baseline("local", "", {"test_accuracy": interval(per_client(0.69, 0.001, 100), 0.004)}, 0, 0),),
        findings=tuple(findings),
        communication=replace(base.communication, per_round=tuple((1000 + 7 * t, 90) for t in range(40))),
    )


def long_names() -> RunResult:
    base = ordinary()
    name = "two-sided-moments-with-every-option-that-the-authors-ever-thought-of-" * 2
    return replace(
        base,
        config={**base.config, "protocol": "p" * 120},
        findings=rates(
            name,
            0.7,
            0.3,
            0.1,
            adversary="client-3 (active)" + "x" * 90,
            observation="o " * 60,
            headline=True,
        ),
        baselines=(replace(base.baselines[0], name="baseline " * 20),),
    )


def foreign() -> RunResult:
    """Non-ASCII names, markup of three kinds, and an escape sequence that would colour a terminal."""
    base = ordinary()
    return replace(
        base,
        config={**base.config, "protocol": "Föderal-学習 <script>alert(1)</script>"},
        findings=rates(
            "[red]η|π[/red]",
            0.7,
            0.3,
            0.1,
            adversary="\x1b[31mserver\x1b[0m & co",
            observation="*_`x`_*",
            headline=True,
        ),
        verdicts=(Verdict("<b>claim</b> [link](http://x)", "Ünal \u202e2025", "inconclusive", "a\nb | c"),),
    )


def other_attacks() -> RunResult:
    """Label inference, inversion and an audit: metrics with another direction, scale and chance."""

    def other(
        attack: str, seen: str, statistic: str, metric: str, numbers: tuple[float | None, ...], **more: Any
    ) -> Finding:
        value, chance, low, high = numbers
        base: dict[str, Any] = {"level": 0.95, "adversary": PASSIVE, "target": "all clients", "n": 12}
        return Finding(
            attack, seen, statistic, metric=metric, value=value, chance=chance, low=low, high=high, **{**base, **more}
        )

    worse = "not better than the closest public image"
    updates, nothing = "uploaded updates", (None, 10.31, None, None)
    return replace(
        ordinary(),
        findings=(
            other(
                "labels", "shared predictions", "mean_softmax", "tv", (0.3121, 0.6801, 0.2751, 0.3491), headline=True
            ),
            other("labels", "shared predictions", "argmax_hist", "kl", (1.2345, 2.5, 1.0, 1.5)),
            other("inversion", updates, "cosine", "psnr", (17.12, 10.31, 14.2, 20.1), n=8, note=worse),
            other("inversion", updates, "dlg", "psnr", nothing, n=8, flag="error", note="loss is not finite"),
            other("audit", "planted probes", "one-run", "epsilon_lower", (2.16518, 0.0, 2.16518, None), n=1000),
        ),
        privacy=PrivacyClaim("record", "add-remove", 3.99912, 1e-5, "PLD", 12, "DP-SGD on each new fold"),
    )


AWKWARD: Mapping[str, Callable[[], RunResult]] = {
    "ordinary": ordinary,
    "no_findings": no_findings,
    "scores_only": scores_only,
    "all_below": all_below,
    "only_errors": only_errors,
    "hundred_clients": hundred_clients,
    "long_names": long_names,
    "foreign": foreign,
    "other_attacks": other_attacks,
}


@pytest.fixture(params=list(AWKWARD))
def any_result(request: pytest.FixtureRequest) -> RunResult:
    """Every kind of result in turn."""
    return AWKWARD[request.param]()


@pytest.fixture
def results() -> Mapping[str, Callable[[], RunResult]]:
    """The builders of all results, by name."""
    return AWKWARD


@pytest.fixture
def make() -> SimpleNamespace:
    """Builders of single findings and of whole families of them."""
    return SimpleNamespace(
        auc=auc_finding, tpr=tpr_finding, rates=rates, failed=failed, interval=interval, per_client=per_client
    )
