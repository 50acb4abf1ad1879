"""Adam's epsilon in both forms, against Keras, in training, in its replay, and where an attack undoes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from fedprivacy.attacks.membership.unrolled.optimisers import optimiser_of
from fedprivacy.config.run import TrainingConfig
from fedprivacy.seeds import torch_scope
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import Learner, Records, Workbench
from fedprivacy.training.optimiser import optimizer_over
from fedprivacy.training.watching import Path, Watching

GRADIENTS = np.array(
    [
        [1e-1, -2e-3, 3e-6, -1e-7, 2e-8],
        [5e-2, 1e-3, -1e-6, 3e-7, 0.0],
        [-2e-1, 4e-3, 2e-6, 1e-7, -1e-8],
    ]
)
KERAS = np.array(
    [
        [-9.99968378223e-04, 9.98421357223e-04, -4.86832980505e-04, 3.06534300317e-05, -6.28480671260e-06],
        [-1.93212164120e-03, 1.26438212102e-03, -6.86897221620e-04, -1.42708762827e-05, -1.04939004360e-05],
        [-1.72576746257e-03, 8.07365769831e-04, -1.01364442943e-03, -6.71126214407e-05, -1.17375790390e-05],
    ]
)
"""Weights from zero after each step of keras.optimizers.Adam(1e-3, epsilon=1e-7), Keras 3.15.1 on jax in float64."""


def published(gradients: NDArray[np.float64], form: str, lr: float = 1e-3, eps: float = 1e-7) -> NDArray[np.float64]:
    """Weights from zero after each step, by either formula as written."""
    w, m, v = (np.zeros(gradients.shape[1]) for _ in range(3))
    found = []
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        if form == "keras":
            w = w - lr * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + eps)
        else:
            w = w - lr * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + eps)
        found.append(w)
    return np.stack(found)


def settings(form: str, **changes: object) -> TrainingConfig:
    return TrainingConfig.model_validate({"adam_eps": 1e-7, "adam_eps_form": form, **changes})


def test_the_formula_is_what_keras_does():
    np.testing.assert_allclose(published(GRADIENTS, "keras"), KERAS, rtol=1e-9)


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_training_steps_are_those_of_the_form(form: str):
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = optimizer_over([w], settings(form))
    for g, expected in zip(GRADIENTS, published(GRADIENTS, form), strict=True):
        w.grad = torch.from_numpy(g)
        optimizer.step()
        np.testing.assert_allclose(w.detach().numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_replayed_steps_are_those_of_the_form(form: str):
    rule, w = optimiser_of(settings(form)), torch.zeros(5, dtype=torch.float64)
    state = rule.fresh(w)
    for number, (g, expected) in enumerate(zip(GRADIENTS, published(GRADIENTS, form), strict=True), 1):
        w, state = rule.step(w, state, torch.from_numpy(g), number)
        np.testing.assert_allclose(w.numpy(), expected, rtol=1e-9)


RECORDS = Records(np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32), np.arange(24) % 3)
LARGE = {"adam_eps": 1e-2, "batch_size": 24, "lr": 1e-2}
"""An epsilon that decides, in one batch."""


def linear(config: TrainingConfig) -> Workbench:
    def made(name, seed):
        with torch_scope(0, "linear"):
            return nn.Linear(4, 3)

    return Workbench(made, config)


def learner(config: TrainingConfig) -> Learner:
    bench = linear(config)
    return bench.learner("linear", bench.initial("linear", (0, ("a",))))


def flat(held: Learner) -> NDArray[np.float64]:
    return torch.cat([t.flatten() for t in held.weights().values()]).double().numpy()


def by_hand(form: str, steps: int) -> NDArray[np.float64]:
    """Weights of softmax regression after full-batch steps, in float64."""
    first = flat(learner(settings(form, **LARGE)))
    gradients: list[NDArray[np.float64]] = []
    x, target = RECORDS.x.astype(np.float64), np.eye(3)[RECORDS.y]
    for done in range(steps + 1):
        w = first + (published(np.stack(gradients), form, 1e-2, 1e-2)[-1] if done else 0)
        z = x @ w[:12].reshape(3, 4).T + w[12:]
        off = (np.exp(z) / np.exp(z).sum(1, keepdims=True) - target) / len(x)
        gradients.append(np.concatenate([(off.T @ x).ravel(), off.sum(0)]))
    return w


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_a_model_is_trained_in_the_form_and_goes_on_from_stored_moments(form: str):
    config = settings(form, **LARGE)
    held = learner(config)
    held.fit(RECORDS, 3, (0, ("x",)))
    np.testing.assert_allclose(flat(held), by_hand(form, 3), rtol=1e-4, atol=1e-6)
    later = linear(config).learner("linear", held.weights(), held.moments())
    later.fit(RECORDS, 2, (1, ("x",)))
    np.testing.assert_allclose(flat(later), by_hand(form, 5), rtol=1e-4, atol=1e-6)
    assert np.abs(by_hand("keras", 5) - by_hand("torch", 5)).max() > 1e-2


@pytest.mark.parametrize("form", ["keras", "torch"])
def test_private_training_steps_in_the_form(form: str):
    """Without noise and with a bound that nothing reaches, one batch an epoch: plain training."""
    held = learner(settings(form, **LARGE))
    DpSgd(0.0, 1e6, 24, sampling="partition")(held, RECORDS, 4, (0, ("x",)))
    np.testing.assert_allclose(flat(held), by_hand(form, 4), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form, added", [("keras", 1e-2 / 0.001**0.5), ("torch", 1e-2)])
def test_what_an_attack_divides_by_holds_epsilon_as_it_counts(form: str, added: float):
    path = Path(1)
    bench = Watching(linear(settings(form, **LARGE)), "", path)
    held = bench.learner("linear", bench.initial("linear", (0, ("a",))))
    held.fit(RECORDS, 1, (0, ("x",)))
    moments = held.moments()
    size = {name: 10 * moments[f"{i}.exp_avg"].abs() for i, (name, _) in enumerate(held.module.named_parameters())}
    for name, stretch in path.stretch.items():
        torch.testing.assert_close(stretch, size[name] + added, rtol=1e-4, atol=1e-6)
