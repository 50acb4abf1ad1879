from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

from fedprivacy.adversary.threat import Float
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.label_recovery import (
    class_counts,
    class_derivatives,
    largest_remainder,
    last_layer,
    recover_labels,
)
from fedprivacy.config.base import UsageError

Gradient = Callable[[nn.Module, Tensor, Tensor], dict[str, Tensor]]


@pytest.mark.parametrize("label", range(4))
def test_one_record_is_exact(smooth: nn.Module, images: Tensor, gradient_of: Gradient, label: int) -> None:
    gradient = gradient_of(smooth, images[:1], torch.tensor([label]))
    assert recover_labels(smooth, {}, gradient, Knowledge((1, 8, 8), 4)).tolist() == [label]


@pytest.mark.parametrize("label", [0, 1])
def test_one_record_and_one_logit(images: Tensor, gradient_of: Gradient, label: int) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1)).double()
    gradient = gradient_of(model, images[:1], torch.tensor([label]))
    assert recover_labels(model, {}, gradient, Knowledge((1, 8, 8), 2)).tolist() == [label]


def test_without_bias_row_sums_serve_for_features_that_are_not_negative(images: Tensor, gradient_of: Gradient) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5, bias=False)).double()
    assert last_layer(model) == ("1.weight", None)
    for label in range(5):
        derivatives = class_derivatives(model, gradient_of(model, images[:1], torch.tensor([label])))
        assert int(derivatives.argmin()) == label and (derivatives < 0).sum() == 1


def test_the_last_linear_layer_is_read() -> None:
    assert last_layer(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))) == ("2.weight", "2.bias")
    with pytest.raises(UsageError, match="has none"):
        last_layer(nn.Conv2d(1, 1, 1))


def test_counts_of_an_exact_system() -> None:
    """Where every record answers like its class's mean, the counts are exact."""
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(5), 5)
    counts = np.array([3, 0, 1, 4, 0])
    derivatives = counts @ table / 8 - counts / 8
    assert class_counts(derivatives, table, 8).tolist() == counts.tolist()


@given(arrays(np.float64, 6, elements=st.floats(0, 5)), st.integers(0, 200))
def test_largest_remainder_sums_up_and_stays_near(shares: Float, total: int) -> None:
    counts = largest_remainder(shares, total)
    assert counts.sum() == total and (counts >= 0).all()
    quota = total * (shares / shares.sum() if shares.sum() > 0 else np.full(6, 1 / 6))
    assert np.abs(counts - quota).max() < 1 + 1e-6


def _mlp(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 10)).double()


def _records(count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Ten classes: a class's mean image plus noise."""
    means = np.random.default_rng(99).random((10, 1, 6, 6))
    labels = rng.choice(10, count, p=rng.dirichlet(np.full(10, 0.5)))
    return torch.from_numpy(means[labels] + 0.1 * rng.standard_normal((count, 1, 6, 6))), torch.from_numpy(labels)


def test_batches_of_fresh_weights_are_nearly_exact(gradient_of: Gradient) -> None:
    """Total variation error of the counts below .01 on average at 32 records; uniform guesses miss by .4."""
    rng, model, card = np.random.default_rng(1), _mlp(0), Knowledge((1, 6, 6), 10, records=32)
    public = _records(400, np.random.default_rng(2))
    errors, uniform = [], []
    for _ in range(20):
        x, y = _records(32, rng)
        found = recover_labels(model, model.state_dict(), gradient_of(model, x, y), card, public)
        assert all(a <= b for a, b in pairwise(found.tolist()))
        truth = np.bincount(y, minlength=10) / 32
        errors.append(np.abs(np.bincount(found, minlength=10) / 32 - truth).sum() / 2)
        uniform.append(np.abs(0.1 - truth).sum() / 2)
    assert np.mean(errors) < 0.01 and np.mean(uniform) > 0.35


def test_labels_behind_several_local_steps(gradient_of: Gradient) -> None:
    rng, model = np.random.default_rng(3), _mlp(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, y = _records(16, rng)
    for _ in range(4):
        gradient = gradient_of(model, x, y)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter -= 0.05 * gradient[name]
    update = {name: value - before[name] for name, value in model.state_dict().items()}
    model.load_state_dict(before)
    card = Knowledge((1, 6, 6), 10, shared="update", records=16, epochs=4, lr=0.05)
    found = recover_labels(model, before, update, card, _records(400, np.random.default_rng(2)))
    missed = np.abs(np.bincount(found, minlength=10) - np.bincount(y, minlength=10)).sum() / 2
    assert missed <= 1


def test_labels_of_another_batch_are_not_recovered(gradient_of: Gradient) -> None:
    """Null: the message of one batch says nothing about the labels of another one, drawn independently."""
    rng, model, card = np.random.default_rng(4), _mlp(0), Knowledge((1, 6, 6), 10, records=16)
    own, other = [], []
    for _ in range(15):
        x, y = _records(16, rng)
        _, strange = _records(16, rng)
        found = np.bincount(
            recover_labels(model, model.state_dict(), gradient_of(model, x, y), card, (x, y)), minlength=10
        )
        own.append(np.abs(found - np.bincount(y, minlength=10)).sum() / 32)
        other.append(np.abs(found - np.bincount(strange, minlength=10)).sum() / 32)
    assert np.mean(own) < 0.03 and np.mean(other) > 0.4
