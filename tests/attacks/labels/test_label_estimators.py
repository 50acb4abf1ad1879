"""Estimates of label shares: exact where the formula is, never outside the simplex, and equivariant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from fedprivacy.attacks.labels.estimators import (
    argmax_hist,
    class_means,
    from_bias,
    from_change,
    log_ratio,
    mean_softmax,
)
from fedprivacy.models.build import build


def rows(seed: int, n: int = 50, classes: int = 4) -> Any:
    return log_softmax(np.random.default_rng(seed).normal(scale=2, size=(n, classes)), axis=1)


@given(st.integers(0, 10_000))
def test_estimates_are_distributions_and_follow_the_names_of_classes(seed: int) -> None:
    logp, reference = rows(seed), rows(seed + 1)
    order = np.random.default_rng(seed).permutation(4)
    for estimate in (mean_softmax(logp), argmax_hist(logp), log_ratio(logp, reference)):
        assert estimate.sum() == pytest.approx(1) and (estimate >= 0).all()
    np.testing.assert_allclose(mean_softmax(logp[:, order]), mean_softmax(logp)[order])
    np.testing.assert_allclose(argmax_hist(logp[:, order]), argmax_hist(logp)[order])
    np.testing.assert_allclose(log_ratio(logp[:, order], reference[:, order]), log_ratio(logp, reference)[order])


def test_by_hand() -> None:
    logp = np.log([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(mean_softmax(logp), [0.3, 0.2, 0.5])
    np.testing.assert_allclose(argmax_hist(logp), [0.5, 0.0, 0.5])
    np.testing.assert_allclose(log_ratio(logp, logp), [1 / 3] * 3)
    shifted = logp + np.array([2.0, 0.0, 0.0])
    np.testing.assert_allclose(log_ratio(shifted, logp, 0.5), np.exp([1, 0, 0]) / np.exp([1, 0, 0]).sum())


def test_a_prior_shift_is_read_off_exactly_at_full_temper() -> None:
    """A client whose logits are those of the reference plus its log prior, far from saturation."""
    prior = np.array([0.4, 0.3, 0.2, 0.1])
    z = np.random.default_rng(0).normal(scale=1e-3, size=(200, 4))
    found = log_ratio(log_softmax(z + np.log(prior), axis=1), log_softmax(z, axis=1), tau=1.0)
    np.testing.assert_allclose(found, prior, atol=1e-3)


@given(st.integers(0, 10_000), st.integers(2, 12))
def test_shares_come_back_from_their_own_gradient(seed: int, classes: int) -> None:
    """``dL/db = P' w - w`` by construction; the solution is w."""
    draw = np.random.default_rng(seed)
    by_class = draw.dirichlet(np.ones(classes), size=classes) * 0.5 + 0.5 / classes
    shares = draw.dirichlet(np.full(classes, 0.3))
    found = from_bias(by_class.T @ shares - shares, by_class)
    np.testing.assert_allclose(found, shares, atol=1e-5)


@pytest.mark.parametrize("batch", [8, 32, 128])
def test_counts_of_a_batch_come_back_from_fresh_weights(batch: int) -> None:
    """Total variation at most 0.01 with fresh weights, where every class gives nearly the same softmax."""
    model = build("mlp", (20,), 10, "softmax", 0, "test")
    draw = np.random.default_rng(batch)
    errors = []
    for _ in range(10):
        labels = draw.choice(10, size=batch, p=draw.dirichlet(np.full(10, 0.5)))
        x = torch.from_numpy(draw.normal(size=(batch, 20)).astype(np.float32))
        loss = torch.nn.functional.cross_entropy(model(x), torch.from_numpy(labels))
        (gradient,) = torch.autograd.grad(loss, [model.head.bias])
        public, public_labels = draw.normal(size=(500, 20)).astype(np.float32), draw.integers(0, 10, 500)
        with torch.inference_mode():
            logp = torch.log_softmax(model(torch.from_numpy(public)).double(), 1).numpy()
        found = from_bias(gradient.double().numpy(), class_means(logp, public_labels))
        truth = np.bincount(labels, minlength=10) / batch
        errors.append(np.abs(found - truth).sum() / 2)
        if batch <= 32:
            assert (np.rint(found * batch) == truth * batch).mean() > 0.8
    assert np.mean(errors) < 0.02


def test_a_class_that_was_never_seen_gets_its_own_corner() -> None:
    means = class_means(rows(0), np.zeros(50, dtype=np.int64))
    np.testing.assert_allclose(means[1:], np.eye(4)[1:])
    np.testing.assert_allclose(means[0], np.exp(rows(0)).mean(axis=0))


def test_differences_of_changes_are_those_of_shares() -> None:
    shares = np.array([[0.7, 0.3, 0.0], [0.1, 0.3, 0.6], [0.4, 0.3, 0.3]])
    p = np.array([0.5, 0.2, 0.3])
    found = from_change(0.05 * 12 * (shares - p), np.array([0.4, 0.3, 0.3]))
    np.testing.assert_allclose(found, shares, atol=1e-12)


def test_clients_that_moved_alike_get_the_prior() -> None:
    prior = np.array([0.5, 0.25, 0.25])
    np.testing.assert_allclose(from_change(np.ones((3, 3)), prior), np.tile(prior, (3, 1)))
