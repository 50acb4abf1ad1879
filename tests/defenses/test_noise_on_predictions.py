"""Gaussian and Laplace noise: released values have the calibrated deviation, and nothing passes without it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.defenses import matrices
from fedprivacy.defenses.clip import Clip
from fedprivacy.defenses.gaussian import Gaussian
from fedprivacy.defenses.gaussian_aggregate import GaussianAggregate
from fedprivacy.defenses.laplace import Laplace
from fedprivacy.privacy.accountant import claim
from fedprivacy.privacy.calibration import gaussian_multiplier
from fedprivacy.privacy.claim import RECEIVERS, TRANSCRIPT
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Predictions, Weights
from fedprivacy.wire.transcript import MemoryStore

ROWS, COLUMNS = 400, 10
BOUND = matrices.largest_norm(ROWS, COLUMNS)
RAW = Clip("probabilities", 1 / COLUMNS, BOUND, project=False)


def probabilities(seed: int = 0, rows: int = ROWS, columns: int = COLUMNS) -> Predictions:
    values = torch.randn(rows, columns, generator=seeds.generator(seed, "values"))
    return Predictions(torch.softmax(3 * values, dim=1), "probabilities")


def sent(defense: Any, payload: Predictions, round: int = 1, sender: str = "client-0") -> torch.Tensor:
    values: torch.Tensor = defense.outgoing(payload, sender, round).values
    return values


def test_released_gaussian_noise_has_the_calibrated_deviation() -> None:
    """4,000 values: the deviation is known to 1.1 percent, and a factor of two forgotten would be seen at once."""
    multiplier = gaussian_multiplier(4.0, 1e-5, 12)
    noise = sent(Gaussian(0, RAW, multiplier, "record"), probabilities()) - probabilities().values
    expected = multiplier * 2 * BOUND
    assert float(noise.std()) == pytest.approx(expected, rel=4 / math.sqrt(2 * noise.numel()))
    assert float(noise.mean()) == pytest.approx(0, abs=4 * expected / math.sqrt(noise.numel()))
    assert stats.kstest(noise.flatten().numpy() / expected, "norm").pvalue > 1e-3


def test_released_laplace_noise_has_the_stated_scale() -> None:
    clip = Clip("probabilities", 1 / COLUMNS, matrices.largest_sum(ROWS, COLUMNS), project=False)
    defense = Laplace(0, clip, 0.5, "record")
    noise = (sent(defense, probabilities()) - probabilities().values).flatten().numpy()
    assert defense.scale == pytest.approx(2 * ROWS * 2 * 0.9 / 0.5)
    assert stats.kstest(noise / defense.scale, "laplace").pvalue > 1e-3
    assert noise.std() == pytest.approx(math.sqrt(2) * defense.scale, rel=0.1)


def test_noise_at_the_server_is_that_of_a_mean() -> None:
    defense = GaussianAggregate(0, RAW, 1.5, "record")
    clients = {f"client-{k}": defense.outgoing(probabilities(k), f"client-{k}", 1) for k in range(5)}
    mean = torch.stack([probabilities(k).values for k in range(5)]).mean(dim=0)
    assert torch.allclose(torch.stack([p.values for p in clients.values()]).mean(dim=0), mean, atol=1e-6)  # type: ignore[attr-defined]
    channel = Channel(1, MemoryStore(), defense)
    noise = channel.combined(clients, lambda: pytest.fail("the server's own mean")).values - mean  # type: ignore[attr-defined]
    assert float(noise.std()) == pytest.approx(1.5 * 2 * BOUND / 5, rel=4 / math.sqrt(2 * noise.numel()))


def test_a_tight_clip_bounds_what_is_released_before_noise() -> None:
    tight = Clip("probabilities", 1 / COLUMNS, 0.5, project=False)
    found = sent(Gaussian(0, tight, 0.0, "record"), probabilities()).double() - 1 / COLUMNS
    assert float(found.norm()) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
def test_hostile_values_do_not_escape(value: float) -> None:
    payload = probabilities()
    payload.values[0, 0] = value
    clip = Clip("probabilities", 1 / COLUMNS, 2.0, project=False)
    found = sent(Gaussian(0, clip, 0.0, "record"), payload).double() - 1 / COLUMNS
    assert float(found.norm()) <= 2.0 * (1 + 1e-5)


def test_noise_is_never_shared_between_different_messages() -> None:
    defense = Gaussian(0, RAW, 1.0, "record")
    base = probabilities()
    nearly = Predictions(base.values + 1e-6, "probabilities")
    noises = [
        sent(defense, base) - base.values,
        sent(defense, base, round=2) - base.values,
        sent(defense, base, sender="client-1") - base.values,
        sent(defense, nearly) - nearly.values,
        sent(Gaussian(1, RAW, 1.0, "record"), base) - base.values,
    ]
    correlation = np.corrcoef(torch.stack(noises).flatten(1).numpy())
    assert np.abs(correlation - np.eye(len(noises))).max() < 5 / math.sqrt(base.values.numel())


def test_the_same_message_twice_is_no_second_release() -> None:
    defense = Gaussian(0, RAW, 1.0, "record")
    assert torch.equal(sent(defense, probabilities()), sent(defense, probabilities()))


def test_projection_gives_probabilities() -> None:
    found = sent(Gaussian(0, Clip("probabilities", 0.1, BOUND, True), 1.0, "record"), probabilities())
    assert (found >= 0).all()
    assert torch.allclose(found.sum(dim=1), torch.ones(ROWS), atol=1e-5)


def test_nothing_else_passes() -> None:
    """A payload that no noise was planned for is an error, never sent as it is."""
    for defense in (Gaussian(0, RAW, 1.0, "record"), Laplace(0, RAW, 1.0, "record")):
        with pytest.raises(TypeError, match="no noise was planned"):
            defense.outgoing(Weights({"w": torch.ones(3)}), "client-0", 1)
        with pytest.raises(TypeError, match="no noise was planned"):
            defense.outgoing(Predictions(torch.ones(3, 2), "logits"), "client-0", 1)


@pytest.mark.parametrize("name", ["gaussian", "laplace"])
def test_epsilon_covers_the_whole_run(guarded: Callable[..., Any], tmp_path: Any, name: str) -> None:
    done = guarded("mutual", defense={"name": name, "epsilon": 2.0}).run(tmp_path)
    found = claim(done.events, 1e-5)
    assert 1.999 < found.epsilon <= 2.0
    assert (found.unit, found.relation, found.adversary, found.releases) == ("record", "add-remove", TRANSCRIPT, 2)


def test_sigma_is_the_noise_multiplier(guarded: Callable[..., Any]) -> None:
    made = guarded("mutual", defense={"name": "gaussian", "sigma": 3.0})
    assert made.defense.deviation == pytest.approx(3.0 * 2 * matrices.largest_norm(20, 10))
    laplace = guarded("mutual", defense={"name": "laplace", "sigma": 3.0})
    deviation = math.sqrt(2) * laplace.defense.scale
    assert deviation == pytest.approx(3.0 * 2 * matrices.largest_sum(20, 10))


def test_no_noise_is_an_infinite_epsilon(guarded: Callable[..., Any], tmp_path: Any) -> None:
    done = guarded("mutual", defense={"name": "gaussian", "sigma": 0.0}).run(tmp_path)
    assert claim(done.events, 1e-5).epsilon == math.inf


def test_sequential_mutual_learning_sends_twice_and_pays_twice(guarded: Callable[..., Any], tmp_path: Any) -> None:
    once = guarded("mutual", defense={"name": "gaussian", "epsilon": 2.0})
    twice = guarded("mutual", {"update_order": "sequential"}, {"name": "gaussian", "epsilon": 2.0})
    assert twice.defense.noise_multiplier == pytest.approx(math.sqrt(2) * once.defense.noise_multiplier, rel=1e-3)
    done = twice.run(tmp_path)
    assert claim(done.events, 1e-5).releases == 4
    up = [m for m in done.transcript.messages if m.sender == "client-0" and m.receiver == SERVER]
    assert len({m.digest for m in up}) == 4


def test_less_participation_needs_less_noise(guarded: Callable[..., Any]) -> None:
    all_of_them = guarded("mutual", defense={"name": "gaussian", "epsilon": 2.0}, rounds=6)
    half = guarded("mutual", defense={"name": "gaussian", "epsilon": 2.0}, rounds=6, participation=0.4)
    assert half.defense.noise_multiplier < all_of_them.defense.noise_multiplier


def test_the_server_may_add_the_noise(guarded: Callable[..., Any], tmp_path: Any) -> None:
    merged = {"peer_mode": "mean", "kl_direction": "peer_own"}
    settings = {"name": "gaussian", "epsilon": 2.0, "options": {"placement": "aggregator"}}
    made = guarded("mutual", merged, settings)
    done = made.run(tmp_path)
    found = claim(done.events, 1e-5)
    assert 1.999 < found.epsilon <= 2.0
    assert found.adversary == RECEIVERS
    down = [m for m in done.transcript.messages if m.sender == SERVER and m.round == 1]
    assert len({m.digest for m in down}) == 1
    with pytest.raises(UsageError, match="peer_mode = 'mean'"):
        guarded("mutual", {}, settings)


@pytest.mark.parametrize(
    ("protocol", "options", "settings", "words"),
    [
        ("fedavg", {}, {}, "acts on predictions alone"),
        ("local", {}, {}, "sends nothing"),
        ("mutual", {"payload": "labels", "kl_direction": "peer_own"}, {}, "use randomized-response"),
        ("mutual", {"payload": "logits"}, {}, "no natural bound"),
        ("mutual", {"payload": "losses"}, {}, "no natural bound"),
        ("mutual", {"average_weights": True}, {}, "void the claim"),
        ("cfd", {}, {}, "acts on predictions alone"),
    ],
)
def test_mismatches_are_told_before_training(
    guarded: Callable[..., Any], protocol: str, options: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    for name in ("gaussian", "laplace"):
        with pytest.raises(UsageError, match=words):
            guarded(protocol, options, {"name": name, "epsilon": 2.0, "options": settings})


@pytest.mark.parametrize(("payload", "clip"), [("logits", 50.0), ("losses", 10.0)])
def test_other_forms_need_a_public_bound(guarded: Callable[..., Any], tmp_path: Any, payload: str, clip: float) -> None:
    settings = {"name": "gaussian", "epsilon": 50.0, "options": {"clip": clip}}
    done = guarded("mutual", {"payload": payload}, settings).run(tmp_path)
    assert claim(done.events, 1e-5).epsilon <= 50.0
