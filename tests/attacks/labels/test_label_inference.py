"""Label-distribution inference from the wire to findings: a skew is found, none is found where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedprivacy.config.base import UsageError
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.study.label_inference import GAIN, true_shares
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute

SKEWED = {"partition": "dirichlet", "alpha": 0.3, "inclusion": 1.0, "candidates": 60}


@pytest.fixture
def configured(small_config: Callable[..., Any]) -> Callable[..., Any]:
    def make(protocol: str, skewed: bool = True, **more: Any) -> Any:
        attack = {"attacks": ("labels",), **more.pop("attack", {})}
        data = {**(SKEWED if skewed else {"inclusion": 1.0}), "auxiliary": 120, "public_size": 40}
        training = {"local_epochs": 4, **more.pop("training", {})}
        return small_config(protocol=protocol, clients=6, data=data, training=training, attack=attack, **more)

    return make


def ran(config: Any, where: Path) -> RunResult:
    return execute(config, Plan(where, baselines=False))


def one(result: RunResult, metric: str, statistic: str | None = None, target: str = "all clients") -> Finding:
    found = [f for f in result.findings if f.metric == metric and f.target == target]
    chosen = [f for f in found if (f.headline if statistic is None else f.statistic == statistic)]
    assert len(chosen) == 1, [f.statistic for f in found]
    return chosen[0]


@pytest.mark.parametrize(
    ("protocol", "training", "headline"),
    [
        ("mutual", {}, "mean_softmax"),
        ("fedavg", {}, "mean_softmax"),
        ("fedavg", {"optimizer": "sgd", "lr": 0.05}, "bias"),
        ("fedkd", {}, "mean_softmax"),
        ("fedproto", {}, "classes sent"),
    ],
)
def test_a_skew_is_found(
    protocol: str, training: dict[str, Any], headline: str, configured: Callable[..., Any], tmp_path: Path
) -> None:
    config = configured(protocol, training=training)
    result = ran(config, tmp_path)
    gain, tv = one(result, GAIN), one(result, "TV")
    assert gain.statistic == tv.statistic == headline and gain.n == 6
    assert gain.low is not None and gain.low > 0 and gain.chance == 0
    assert tv.value is not None and tv.chance is not None and tv.chance - tv.value == pytest.approx(gain.value)
    guesses = {f.statistic for f in result.findings} & {"uniform guess", "public prior", "random guess (Dirichlet 0.3)"}
    assert len(guesses) == 3
    blind = [one(result, "TV", name).value or 1.0 for name in ("uniform guess", "public prior")]
    assert min(blind) == pytest.approx(tv.chance)
    assert {f.metric for f in result.findings} == {"TV", "Chebyshev", "KL", "top-class hit", GAIN}
    assert [v.verdict for v in result.verdicts if "which classes" in v.claim] == ["refuted"]
    if headline == "bias":
        assert tv.value < 0.15
    if headline == "mean_softmax":
        assert one(result, "top-class hit").value > one(result, "top-class hit").chance  # type: ignore[operator]


def test_no_gain_is_claimed_where_clients_do_not_differ(configured: Callable[..., Any], tmp_path: Path) -> None:
    result = ran(configured("mutual", skewed=False), tmp_path)
    gain = one(result, GAIN)
    assert gain.low is not None and gain.low <= 0
    assert [v.verdict for v in result.verdicts if "which classes" in v.claim] == ["inconclusive"]


def test_the_truth_is_what_was_trained_on(configured: Callable[..., Any]) -> None:
    config = configured("mutual").model_copy(
        update={"data": configured("mutual").data.model_copy(update={"inclusion": 0.5})}
    )
    played = resolve(config).game(0)
    shares = true_shares(played)
    assert shares.sum() == played.flat_coins.sum()
    for client, folds in enumerate(played.members()):
        np.testing.assert_array_equal(shares[client], np.bincount(played.dataset.y_train[folds[0]], minlength=10))


def test_hard_labels_and_losses(configured: Callable[..., Any], tmp_path: Path) -> None:
    hard = ran(configured("mutual", options={"payload": "labels", "kl_direction": "peer_own"}), tmp_path / "hard")
    assert one(hard, "TV").statistic == "argmax_hist"
    losses = ran(configured("mutual", options={"payload": "losses"}), tmp_path / "losses")
    (row,) = losses.findings
    assert row.flag == "error" and "tell no distribution" in row.note and row.attack == "labels"
    assert [v.verdict for v in losses.verdicts if "which classes" in v.claim] == ["inconclusive"]


def test_a_peer_does_not_infer_itself_and_few_clients_decide_nothing(
    configured: Callable[..., Any], tmp_path: Path
) -> None:
    config = configured("profe", attack={"adversaries": ("client-0",)})
    result = ran(config, tmp_path)
    assert one(result, GAIN).n == 2
    assert {f.target for f in result.findings} == {"all clients", "client-1", "client-5"}
    assert [v.verdict for v in result.verdicts if "which classes" in v.claim] == ["inconclusive"]


def test_clients_of_several_seeds_are_taken_together(configured: Callable[..., Any], tmp_path: Path) -> None:
    result = ran(configured("fedproto", seeds=2), tmp_path)
    assert one(result, GAIN).n == 12 and {f.target for f in result.findings} == {"all clients"}


def test_membership_and_labels_run_together(configured: Callable[..., Any], tmp_path: Path) -> None:
    config = configured(
        "mutual", attack={"attacks": ("membership", "labels"), "adversaries": ("server",), "shadows": 1}
    )
    config = config.model_copy(update={"data": config.data.model_copy(update={"inclusion": 0.5})})
    result = ran(config, tmp_path / "run")
    assert {f.attack for f in result.findings} == {"membership", "labels"}
    assert not list((tmp_path / "bank").rglob("*--labels*")), "shadows say nothing of labels"


@pytest.mark.parametrize(
    ("protocol", "adversary", "words"),
    [
        ("fedmd", "client-0", "mixes of all clients"),
        ("fedavg", "client-1", "mixes of all clients"),
        ("mutual", "active-server", "plants nothing; use --adversary server"),
        ("profe", "server", "has no server"),
        ("local", "server", "sends nothing"),
    ],
)
def test_who_can_infer_nothing_is_told_so(
    protocol: str, adversary: str, words: str, configured: Callable[..., Any]
) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(configured(protocol, attack={"adversaries": (adversary,)}))


def test_where_nothing_is_sent_the_default_positions_are_told_so(configured: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"local sends nothing, .*; use "):
        resolve(configured("local"))


def test_the_default_positions_are_passive(configured: Callable[..., Any]) -> None:
    for protocol, source in (("mutual", "predictions"), ("fedavg", "models"), ("fedproto", "prototypes")):
        assert [(a.name, read) for a, read in resolve(configured(protocol)).seats.labels] == [("server", source)]
