"""One step of whole protocols against derivations in plain numpy, on linear models and whole batches.

Model: features ``h = x W'``, logits ``z = h V'``. For gradients G of the logits and E of the features:
``dV = G' h``, ``dW = (G V + E)' x``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from fedprivacy.wire.channel import Channel
from fedprivacy.wire.transcript import MemoryStore

MakeWorld = Callable[..., Any]
Array = np.ndarray
LR = 0.1
STEP = {"batch_size": 100, "optimizer": "sgd", "lr": LR, "local_epochs": 1}


@dataclass
class Linear:
    """Weights in float64."""

    w: Array
    v: Array

    @staticmethod
    def of(part: Mapping[str, torch.Tensor]) -> Linear:
        return Linear(part["hidden.weight"].double().numpy(), part["head.weight"].double().numpy())

    def features(self, x: Array) -> Array:
        return x @ self.w.T

    def logits(self, x: Array) -> Array:
        return self.features(x) @ self.v.T

    def stepped(self, x: Array, logit_slope: Array, feature_slope: Array | float = 0.0) -> Linear:
        """After one step of gradient descent."""
        slope = logit_slope @ self.v + feature_slope
        return Linear(self.w - LR * slope.T @ x, self.v - LR * logit_slope.T @ self.features(x))

    def assert_is(self, part: Mapping[str, torch.Tensor]) -> None:
        np.testing.assert_allclose(part["hidden.weight"].numpy(), self.w, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(part["head.weight"].numpy(), self.v, rtol=1e-4, atol=1e-6)


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def label_slope(z: Array, y: Array) -> Array:
    return (softmax(z) - np.eye(z.shape[1])[y]) / len(y)


def nll(z: Array, y: Array) -> float:
    return float(-np.log(softmax(z)[np.arange(len(y)), y]).mean())


def kl(a: Array, b: Array) -> float:
    return float((a * np.log(a / b)).sum(axis=1).mean())


def private(world: Any, client: int = 0) -> tuple[Array, Array]:
    records = world.env.private(client, 1)
    return records.x.astype(np.float64), records.y


def one_round(world: Any, state: Any) -> Mapping[str, Mapping[str, torch.Tensor]]:
    channel = Channel(1, MemoryStore())
    return world.protocol.round(state, 1, world.env, channel).state.parts  # type: ignore[no-any-return]


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.2, 0.9)])
def test_fml(alpha: float, beta: float, world: MakeWorld) -> None:
    training = {**STEP, "model": "line", "client_models": ("short",)}
    here = world("fml", {"alpha": alpha, "beta": beta}, sizes=(12,), training=training)
    state = here.protocol.init(here.env).state
    own, meme = Linear.of(state.parts["client-0/model"]), Linear.of(state.parts["server/model"])
    x, y = private(here)
    z, m = own.logits(x), meme.logits(x)
    p, q = softmax(z), softmax(m)
    after = one_round(here, state)
    own.stepped(x, alpha * label_slope(z, y) + (1 - alpha) * (p - q) / len(y)).assert_is(after["client-0/model"])
    meme.stepped(x, beta * label_slope(m, y) + (1 - beta) * (q - p) / len(y)).assert_is(after["server/model"])


@pytest.mark.parametrize("hidden_weight", [0.0, 1.0, 3.0])
def test_fedkd(hidden_weight: float, world: MakeWorld) -> None:
    training = {**STEP, "model": "line", "client_models": ("short",)}
    options = {"hidden_weight": hidden_weight, "energy_start": 1.0, "energy_end": 1.0}
    here = world("fedkd", options, sizes=(12,), training=training)
    state = here.protocol.init(here.env).state
    mentor, mentee = Linear.of(state.parts["client-0/model"]), Linear.of(state.parts["server/model"])
    projection = state.parts["client-0/projection"]["weight"].double().numpy()
    x, y = private(here)
    z, m = mentor.logits(x), mentee.logits(x)
    p, q = softmax(z), softmax(m)
    quality = nll(z, y) + nll(m, y)
    gap = mentor.features(x) - mentee.features(x) @ projection.T
    slope = hidden_weight * 2 * gap / gap.size / quality
    after = one_round(here, state)
    expected = mentor.stepped(x, label_slope(z, y) + (p - q) / len(y) / quality, slope)
    expected.assert_is(after["client-0/model"])
    mentee.stepped(x, label_slope(m, y) + (q - p) / len(y) / quality, -slope @ projection).assert_is(
        after["server/model"]
    )
    moved = projection + LR * slope.T @ mentee.features(x)
    np.testing.assert_allclose(after["client-0/projection"]["weight"].numpy(), moved, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_fedproto(weight: float, world: MakeWorld) -> None:
    here = world("fedproto", {"prototype_weight": weight}, sizes=(12, 9), training={**STEP, "model": "line"})
    state = here.protocol.init(here.env).state
    known = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32))
    state = state.having({"server/prototypes": {"means": known, "classes": torch.tensor([0, 2], dtype=torch.int16)}})
    after = one_round(here, state)
    sums, holders = np.zeros((3, 4)), np.zeros(3)
    for client in range(2):
        model = Linear.of(state.parts[f"client-{client}/model"])
        x, y = private(here, client)
        means = np.zeros((3, 4))
        means[[0, 2]] = known.numpy()
        present = np.array([1.0, 0.0, 1.0])[y][:, None]
        h = model.features(x)
        model = model.stepped(x, label_slope(model.logits(x), y), weight * 2 * (h - means[y]) * present / h.size)
        model.assert_is(after[f"client-{client}/model"])
        for label in set(y.tolist()):
            sums[label] += model.features(x)[y == label].mean(axis=0)
            holders[label] += 1
    held = after["server/prototypes"]
    assert held["classes"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(held["means"].numpy(), sums / holders[:, None], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("aggregation", ["era", "sa", "enhanced"])
def test_ds_fl(aggregation: str, world: MakeWorld) -> None:
    options = {"aggregation": aggregation, "distill_epochs": 1}
    here = world("ds-fl", options, sizes=(12, 9), training={**STEP, "model": "line"})
    state = here.protocol.init(here.env).state
    fold = here.env.records(here.env.public_ids(1)).x.astype(np.float64)
    models = []
    for client in range(2):
        model = Linear.of(state.parts[f"client-{client}/model"])
        x, y = private(here, client)
        models.append(model.stepped(x, label_slope(model.logits(x), y)))
    m = np.mean([softmax(model.logits(fold)) for model in models], axis=0)
    target = {"era": softmax(m / 0.1), "sa": m, "enhanced": m**1.5 / (m**1.5).sum(axis=1, keepdims=True)}[aggregation]
    after = one_round(here, state)
    models.append(Linear.of(state.parts["server/model"]))
    for name, model in zip(("client-0", "client-1", "server"), models, strict=True):
        slope = (softmax(model.logits(fold)) - target) / len(fold)
        model.stepped(fold, slope).assert_is(after[f"{name}/model"])


def test_fedmd(world: MakeWorld) -> None:
    options = {"transfer_epochs": 0, "digest": "mse", "last_revisit": False}
    here = world("fedmd", options, sizes=(12, 9), training={**STEP, "model": "line"})
    state = here.protocol.init(here.env).state
    fold = here.env.records(here.env.public_ids(1)).x.astype(np.float64)
    models = []
    for client in range(2):
        model = Linear.of(state.parts[f"client-{client}/model"])
        x, y = private(here, client)
        models.append(model.stepped(x, label_slope(model.logits(x), y)))
    consensus = np.mean([model.logits(fold) for model in models], axis=0)
    after = one_round(here, state)
    for client, model in enumerate(models):
        gap = model.logits(fold) - consensus
        model.stepped(fold, 2 * gap / gap.size).assert_is(after[f"client-{client}/model"])


def test_fedprox_second_step(world: MakeWorld) -> None:
    """The first step starts at the anchor and feels nothing; the second does."""
    mu = 2.0
    here = world("fedprox", {"mu": mu}, sizes=(12,), training={**STEP, "model": "line", "local_epochs": 2})
    state = here.protocol.init(here.env).state
    start = Linear.of(state.parts["server/model"])
    x, y = private(here)
    first = start.stepped(x, label_slope(start.logits(x), y))
    second = first.stepped(x, label_slope(first.logits(x), y))
    pulled = Linear(second.w - LR * mu * (first.w - start.w), second.v - LR * mu * (first.v - start.v))
    pulled.assert_is(one_round(here, state)["server/model"])


def test_fedckd_second_round(world: MakeWorld) -> None:
    options = {"history_weight": 0.7, "global_weight": 0.4, "temperature": 3.0}
    here = world("fedckd", options, sizes=(12, 9), training={**STEP, "model": "line"})
    state = here.protocol.init(here.env).state
    other = here.protocol.round(state, 1, here.env, Channel(1, MemoryStore())).state
    x, y = private(here)
    start, own = Linear.of(other.parts["server/model"]), Linear.of(other.parts["client-0/own"])
    z = start.logits(x)
    towards_own = softmax(z / 3) - softmax(own.logits(x) / 3)
    expected = start.stepped(x, label_slope(z, y) + 0.7 * 3 * towards_own / len(y))
    after = here.protocol.round(other, 2, here.env, Channel(2, MemoryStore())).state
    expected.assert_is(after.parts["client-0/own"])


def test_kl_of_the_toy_step_is_not_zero(world: MakeWorld) -> None:
    """The oracles above would hold trivially between equal models; these differ."""
    here = world("fml", sizes=(12,), training={**STEP, "model": "line", "client_models": ("short",)})
    state = here.protocol.init(here.env).state
    x, _ = private(here)
    own, meme = Linear.of(state.parts["client-0/model"]), Linear.of(state.parts["server/model"])
    assert kl(softmax(own.logits(x)), softmax(meme.logits(x))) > 0.01
