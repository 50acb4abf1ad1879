"""Model theft: what counts and how, copies that are clients' own where clients differ, none from noise, and who may."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from fedprivacy.attacks.membership.received import Answer
from fedprivacy.attacks.theft.copies import RECENCY, _divergence, aged
from fedprivacy.attacks.theft.observe import HISTORY, LATEST, RELATED, UNAIDED, UNRELATED, shuffled
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.federation.knowledge import Knowledge
from fedprivacy.judge.result import Finding, RunResult
from fedprivacy.reporting.report import report
from fedprivacy.reporting.terminal import render_document
from fedprivacy.study.resolve import resolve
from fedprivacy.study.run import Plan, execute
from fedprivacy.study.stolen import ANOTHER, GAIN, after, compared
from fedprivacy.study.theft import points
from fedprivacy.wire.payload import Predictions


@pytest.fixture
def configured(small_config: Callable[..., Any]) -> Callable[..., Any]:
    def make(protocol: str = "ds-fl", **more: Any) -> Any:
        attack = {"attacks": ("theft",), "surrogate_epochs": 30, **more.pop("attack", {})}
        data = {
            "partition": "shards",
            "classes_per_client": 3,
            "inclusion": 1.0,
            "candidates": 60,
            "public_size": 60,
            "auxiliary": 40,
            **more.pop("data", {}),
        }
        training = {"local_epochs": 4, **more.pop("training", {})}
        return small_config(protocol=protocol, clients=4, data=data, training=training, attack=attack, **more)

    return make


def ran(config: Any, where: Path) -> RunResult:
    return execute(config, Plan(where, baselines=False))


def told(result: RunResult, statistic: str, metric: str, target: str = "all clients") -> Finding:
    (found,) = [f for f in result.findings if (f.statistic, f.metric, f.target) == (statistic, metric, target)]
    return found


def verdicts(result: RunResult) -> list[str]:
    return [v.verdict for v in result.verdicts if "copy of a client's model" in v.claim]


def test_clients_that_differ_are_copied_each_for_itself(configured: Callable[..., Any], tmp_path: Path) -> None:
    """Few classes each and a weak outsider: copies agree with their client far more than it, or than another's copy."""
    result = ran(configured(rounds=3, attack={"adversaries": ("server",)}), tmp_path)
    gain, own = told(result, HISTORY, GAIN), told(result, HISTORY, "agreement")
    assert gain.headline and gain.n == 4 and (gain.low or 0) > 0 and verdicts(result) == ["refuted"]
    unaided, another = told(result, UNAIDED, "agreement"), told(result, ANOTHER, "agreement")
    assert own.value is not None and unaided.value is not None and another.value is not None
    assert own.chance == unaided.value and own.value > max(unaided.value, another.value) + 0.1
    assert gain.value == pytest.approx(own.value - unaided.value)
    assert (told(result, HISTORY, "KL").value or 9) < (told(result, UNAIDED, "KL").value or 0)
    assert [told(result, HISTORY, after(point)).n for point in points(3)] == [4, 4, 4]
    assert told(result, HISTORY, after(3)).value == own.value
    assert told(result, LATEST, "agreement").value is not None
    each = [told(result, HISTORY, "agreement", f"client-{k}").value or 0 for k in range(4)]
    assert np.mean(each) == pytest.approx(own.value)
    page = io.StringIO()
    render_document(report(result), Console(file=page, width=100))
    text = " ".join(page.getvalue().split())
    assert "Leakage: theft" in text and "after round 1:" in text and "answers a client" in text


def test_noise_for_answers_gives_no_copy(configured: Callable[..., Any], tmp_path: Path) -> None:
    noise = {"name": "gaussian", "epsilon": 0.01}
    result = ran(configured("mutual", defense=noise, attack={"adversaries": ("server",)}), tmp_path)
    gain = told(result, HISTORY, GAIN)
    assert gain.low is not None and gain.low <= 0 and verdicts(result) == ["inconclusive"]


def test_an_active_server_asks_about_related_and_unrelated_records(
    configured: Callable[..., Any], tmp_path: Path
) -> None:
    result = ran(configured(rounds=2, attack={"adversaries": ("active-server",)}), tmp_path)
    related, unrelated = told(result, RELATED, "agreement"), told(result, UNRELATED, "agreement")
    assert related.headline and not unrelated.headline and related.value is not None and unrelated.value is not None
    assert related.value > unrelated.value > 0.2
    assert "120 related and 120 unrelated records" in related.note


def test_unrelated_records_keep_each_inputs_values_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    column = rng.integers(0, 256, size=(200, 1), dtype=np.uint8)
    x = np.concatenate([column, column, 255 - column], axis=1).reshape(200, 1, 3, 1)
    made = shuffled(x, np.random.default_rng(1))
    assert made.dtype == x.dtype and made.shape == x.shape
    np.testing.assert_array_equal(np.sort(made, axis=0), np.sort(x, axis=0))
    assert abs(np.corrcoef(made[:, 0, 0, 0], made[:, 0, 1, 0])[0, 1]) < 0.3


def test_answers_count_by_their_age(configured: Callable[..., Any]) -> None:
    config = configured()
    env, played = resolve(config).environment(0)
    knowledge = Knowledge(
        config.attack,
        1,
        env.dataset,
        played.candidates,
        played.division.auxiliary,
        env.workbench,
        wire=resolve(config).wire,
    )
    ids = played.division.public[0][:3]
    values = torch.log_softmax(torch.randn(3, 10, generator=torch.Generator().manual_seed(0)), dim=1)
    given = [Answer(t, 0, ids, False, Predictions(values, "logits")) for t in (1, 3, 4)]
    found = aged(given, knowledge, 3)
    assert found.weights.mean() == pytest.approx(1) and len(found.x) == 6
    assert found.weights[0] / found.weights[-1] == pytest.approx(RECENCY**2)
    np.testing.assert_allclose(found.targets[:3], values.double().numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="up to round 0"):
        aged(given, knowledge, 0)


def test_the_loss_is_the_weighted_divergence() -> None:
    rng = np.random.default_rng(2)
    logits, other, weights = rng.normal(size=(5, 4)), rng.normal(size=(5, 4)), rng.uniform(0.1, 2, size=5)
    p, q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in (other, logits))
    expected = np.mean(weights * (p * np.log(p / q)).sum(1))
    table = torch.from_numpy(np.concatenate([np.log(p), weights[:, None]], axis=1))
    assert float(_divergence(torch.from_numpy(logits), torch.zeros(5), table)) == pytest.approx(expected)


def test_agreement_and_divergence_by_hand() -> None:
    client = np.log([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    copy = np.log([[0.6, 0.4], [0.9, 0.1], [0.5001, 0.4999]])
    found = compared(copy, client, np.array([0, 0, 1]))
    assert found["agreement"] == pytest.approx(2 / 3) and found["accuracy"] == pytest.approx(2 / 3)
    expected = np.mean((np.exp(client) * (client - copy)).sum(axis=1))
    assert found["KL"] == pytest.approx(expected) and compared(client, client, np.zeros(3))["KL"] == 0


@pytest.mark.parametrize("protocol", [name for name, card in CARDS.items() if not card.bound])
def test_it_is_for_protocols_that_share_predictions(protocol: str, configured: Callable[..., Any]) -> None:
    config = configured(protocol)
    quiet = config.model_copy(update={"attack": config.attack.model_copy(update={"attacks": ()})})
    shares = any(release.reads == "predictions" for release in resolve(quiet).wire.releases)
    if shares:
        assert "server" in {adversary.name for adversary in resolve(config).seats.theft}
        return
    with pytest.raises(UsageError, match="use a protocol that shares predictions"):
        resolve(config)


@pytest.mark.parametrize(
    ("protocol", "adversary", "words"),
    [
        ("ds-fl", "client-0", "mixed of all clients"),
        ("mutual", "active-client-0", "answers no questions of active-client-0"),
    ],
)
def test_who_can_copy_nothing_is_told_so(
    protocol: str, adversary: str, words: str, configured: Callable[..., Any]
) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(configured(protocol, attack={"adversaries": (adversary,)}))
