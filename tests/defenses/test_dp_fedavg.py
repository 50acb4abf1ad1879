"""Clipped and noised updates: bounds under hostile inputs, measured noise, and what really travels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from fedprivacy import seeds
from fedprivacy.config.base import UsageError
from fedprivacy.defenses import updates
from fedprivacy.defenses.dp_fedavg import DpFedAvg, DpFedAvgAggregate
from fedprivacy.privacy.accountant import claim
from fedprivacy.privacy.claim import RECEIVERS, TRANSCRIPT
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.parties import SERVER
from fedprivacy.wire.payload import Predictions, Update, Weights
from fedprivacy.wire.transcript import MemoryStore

UNIFORM = {"weighting": "uniform"}
HOSTILE = arrays(np.float32, st.integers(1, 20), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))


def model(seed: int, scale: float = 1.0) -> dict[str, torch.Tensor]:
    draw = seeds.generator(seed, "model")
    return {"a": torch.randn(120, 100, generator=draw) * scale, "b": torch.randn(50, generator=draw) * scale}


def flat(tensors: Any) -> torch.Tensor:
    return torch.cat([tensors[name].double().flatten() for name in sorted(tensors)])


@given(one=HOSTILE, two=HOSTILE, bound=st.floats(1e-4, 1e4))
def test_no_update_escapes_the_bound(one: np.ndarray, two: np.ndarray, bound: float) -> None:
    clipped = updates.clip({"a": torch.from_numpy(one), "b": torch.from_numpy(two)}, bound)
    assert updates.norm(clipped) <= bound * (1 + 1e-12)


def test_clipping_keeps_the_direction_and_small_updates() -> None:
    small = model(0, 1e-4)
    assert torch.allclose(flat(updates.clip(small, 1.0)), flat(small))
    large = updates.clip(model(0), 1.0)
    assert updates.norm(large) == pytest.approx(1.0)
    cosine = torch.nn.functional.cosine_similarity(flat(large), flat(model(0)), dim=0)
    assert float(cosine) == pytest.approx(1.0)


def test_noise_at_the_client_has_the_calibrated_deviation() -> None:
    defense = DpFedAvg(0, clip=0.5, noise_multiplier=3.0)
    update = Update(model(0, 1e-5))
    noise = flat(defense.outgoing(update, "client-0", 1).tensors) - flat(update.tensors)  # type: ignore[attr-defined]
    assert float(noise.std()) == pytest.approx(3.0 * 2 * 0.5, rel=4 / math.sqrt(2 * len(noise)))
    again = flat(defense.outgoing(update, "client-1", 1).tensors) - flat(update.tensors)  # type: ignore[attr-defined]
    assert abs(float(np.corrcoef(noise, again)[0, 1])) < 5 / math.sqrt(len(noise))


def test_weights_travel_as_the_start_plus_a_noised_change() -> None:
    start = model(0)
    end = {name: t + 5.0 for name, t in start.items()}
    counted = {**end, "steps": torch.tensor(7)}
    channel = Channel(1, MemoryStore(), DpFedAvg(0, 1.0, 0.0), lambda _: {**start, "steps": torch.tensor(3)})
    found = channel.send("client-0", SERVER, Weights(counted)).tensors
    moved = {name: found[name].double() - start[name] for name in start}
    assert updates.norm(moved) == pytest.approx(1.0, rel=1e-3)
    assert int(found["steps"]) == 3
    assert channel.messages[0].kind == "weights"


def test_a_channel_without_a_start_refuses_to_guess() -> None:
    with pytest.raises(ValueError, match="start of the round"):
        Channel(1, MemoryStore(), DpFedAvg(0, 1.0, 1.0)).send("client-0", SERVER, Weights(model(0)))


def test_noise_at_the_server_is_that_of_a_mean() -> None:
    defense = DpFedAvgAggregate(0, clip=0.5, noise_multiplier=3.0)
    start = model(0)
    channel = Channel(1, MemoryStore(), defense, lambda _: start)
    ends = [{name: t + 1e-6 * k for name, t in start.items()} for k in range(4)]
    sent = {f"client-{k}": channel.send(f"client-{k}", SERVER, Weights(end)) for k, end in enumerate(ends)}
    mean = torch.stack([flat(w.tensors) for w in sent.values()]).mean(dim=0)
    noise = flat(channel.combined(sent, lambda: Weights({})).tensors) - mean
    assert float(noise.std()) == pytest.approx(3.0 * 0.5 / 4, rel=4 / math.sqrt(2 * len(noise)))


@given(index=st.integers(0, 3), bound=st.floats(0.01, 10), seed=st.integers(0, 50))
def test_one_client_moves_the_mean_by_at_most_its_share(index: int, bound: float, seed: int) -> None:
    """Add-remove: an absent client counts as one that did not move."""
    vectors = [model(seed + k, 10.0) for k in range(4)]
    clipped = [flat(updates.clip(v, bound)) for v in vectors]
    present = torch.stack(clipped).mean(dim=0)
    clipped[index] = torch.zeros_like(clipped[index])
    assert float((present - torch.stack(clipped).mean(dim=0)).norm()) <= bound / 4 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("placement", "relation", "adversary"),
    [("local", "replace-one", TRANSCRIPT), ("aggregator", "add-remove", RECEIVERS)],
)
def test_claims_of_a_run(
    guarded: Callable[..., Any], tmp_path: Any, placement: str, relation: str, adversary: str
) -> None:
    settings = {"name": "dp-fedavg", "epsilon": 5.0, "options": {"placement": placement}}
    made = guarded("fedavg", UNIFORM, settings)
    done = made.run(tmp_path)
    found = claim(done.events, 1e-5)
    assert 4.999 < found.epsilon <= 5.0
    assert (found.unit, found.relation, found.adversary, found.releases) == ("client", relation, adversary, 2)


def test_without_noise_every_uploaded_change_is_within_the_bound(guarded: Callable[..., Any], tmp_path: Any) -> None:
    made = guarded("fedavg", UNIFORM, {"name": "dp-fedavg", "sigma": 0.0, "options": {"clip": 0.05}})
    done = made.run(tmp_path)
    assert claim(done.events, 1e-5).epsilon == math.inf
    read = done.transcript.payload
    broadcast = {m.round: read(m).tensors for m in done.transcript.messages if m.sender == SERVER}  # type: ignore[attr-defined]
    uploads = [m for m in done.transcript.messages if m.receiver == SERVER and m.round == 2]
    assert len(uploads) == 3
    for message in uploads:
        end = read(message).tensors  # type: ignore[attr-defined]
        change = {name: end[name].double() - broadcast[1][name] for name in end}
        assert updates.norm(change) == pytest.approx(0.05, rel=1e-3)


def test_updates_that_are_sent_as_such_are_covered_too(guarded: Callable[..., Any], tmp_path: Any) -> None:
    done = guarded("fedbuff", {}, {"name": "dp-fedavg", "epsilon": 5.0}).run(tmp_path)
    assert claim(done.events, 1e-5).epsilon <= 5.0


@pytest.mark.parametrize(
    ("protocol", "options", "settings", "words"),
    [
        ("mutual", {}, {}, "acts on weights and updates alone"),
        ("fedavg", {}, {}, "weighting = 'uniform'"),
        ("fedavg", {}, {"placement": "aggregator"}, "weighting = 'uniform'"),
        ("layerwise-async", {}, {}, "not known to the receiver"),
        ("feddf", UNIFORM, {"placement": "aggregator"}, "placement = 'local'"),
    ],
)
def test_mismatches_are_told_before_training(
    guarded: Callable[..., Any], protocol: str, options: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        guarded(protocol, options, {"name": "dp-fedavg", "epsilon": 5.0, "options": settings})


def test_integer_buffers_are_refused(guarded: Callable[..., Any]) -> None:
    """Noise on them would be rounded towards zero, and their size would use up the clip bound."""
    made = guarded("fedavg", UNIFORM, {"name": "dp-fedavg", "epsilon": 5.0})
    module = made.env.workbench.module(made.env.architecture(0))
    module.register_buffer("passing", torch.arange(3), persistent=False)
    made.defense.check(made.env, made.releases)
    module.register_buffer("places", torch.arange(3))
    with pytest.raises(UsageError, match="integer buffer places"):
        made.defense.check(made.env, made.releases)


def test_batch_normalisation_is_refused(guarded: Callable[..., Any]) -> None:
    made = guarded("fedavg", UNIFORM, {"name": "dp-fedavg", "epsilon": 5.0})
    made.env.workbench.module(made.env.architecture(0)).add_module("norm", nn.BatchNorm1d(3))
    with pytest.raises(UsageError, match="batch normalisation"):
        made.defense.check(made.env, made.releases)


def test_nothing_else_passes() -> None:
    for defense in (DpFedAvg(0, 1.0, 1.0), DpFedAvgAggregate(0, 1.0, 1.0)):
        with pytest.raises(TypeError, match="no noise was planned"):
            defense.outgoing(Predictions(torch.ones(2, 2), "probabilities"), "client-0", 1)
