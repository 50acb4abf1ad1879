"""Losses and gradients of distillation against derivations in plain numpy, by hand and by Hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.training.distillation import (
    digest_loss,
    fedkd_loss,
    fml_losses,
    profe_loss,
    soft_label_loss,
    taught_loss,
)

seeds = st.integers(0, 2**32 - 1)
ALL = torch.arange(6)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def nll(z: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(softmax(z)[np.arange(len(y)), y]).mean())


def kl(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * np.log(a / b)).sum(axis=1).mean())


def case(seed: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two matrices of logits [6, C], labels [6] and their one-hot rows."""
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, 6)
    return draw.normal(size=(6, classes)) * 2, draw.normal(size=(6, classes)) * 2, y, np.eye(classes)[y]


def leaf(z: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(z.copy()).requires_grad_()


@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_fml(seed: int, alpha: float, beta: float) -> None:
    a, b, y, hot = case(seed)
    own, meme = leaf(a), leaf(b)
    of_own, of_meme = fml_losses(own, meme, torch.from_numpy(y), alpha, beta)
    p, q = softmax(a), softmax(b)
    assert float(of_own.detach()) == pytest.approx(alpha * nll(a, y) + (1 - alpha) * kl(q, p))
    assert float(of_meme.detach()) == pytest.approx(beta * nll(b, y) + (1 - beta) * kl(p, q))
    (of_own + of_meme).backward()
    np.testing.assert_allclose(own.grad.numpy(), (alpha * (p - hot) + (1 - alpha) * (p - q)) / 6, atol=1e-12)
    np.testing.assert_allclose(meme.grad.numpy(), (beta * (q - hot) + (1 - beta) * (q - p)) / 6, atol=1e-12)


def test_fml_targets_are_constants() -> None:
    a, b, y, _ = case(0)
    own, meme = leaf(a), leaf(b)
    of_own, of_meme = fml_losses(own, meme, torch.from_numpy(y), 0.5, 0.5)
    assert torch.autograd.grad(of_own, meme, allow_unused=True, retain_graph=True)[0] is None
    assert torch.autograd.grad(of_meme, own, allow_unused=True)[0] is None


def test_fml_in_the_librarys_way_has_a_tenth_of_the_divergence_and_other_gradients() -> None:
    a, b, y, _ = case(0, classes=10)
    own, meme = leaf(a), leaf(b)
    paper, _ = fml_losses(own, meme, torch.from_numpy(y), 0.0, 0.0)
    library, _ = fml_losses(own, meme, torch.from_numpy(y), 0.0, 0.0, pfllib=True)
    assert float(library.detach()) == pytest.approx(float(paper.detach()) / 10)
    assert torch.autograd.grad(library, meme)[0].abs().max() > 0


@given(seeds, st.booleans())
def test_fedkd(seed: int, through: bool) -> None:
    a, b, y, hot = case(seed)
    draw = np.random.default_rng(seed + 1)
    h_t, h_s, w = draw.normal(size=(6, 5)), draw.normal(size=(6, 3)), draw.normal(size=(5, 3))
    t, s, ht, hs, wh = map(leaf, (a, b, h_t, h_s, w))
    hidden = torch.nn.functional.mse_loss(ht, hs @ wh.T)
    loss = fedkd_loss(t, s, torch.from_numpy(y), hidden, 1e-9, through)
    loss.backward()
    p, q = softmax(a), softmax(b)
    gap = h_t - h_s @ w.T
    weight = nll(a, y) + nll(b, y)
    joint = kl(q, p) + kl(p, q) + float((gap**2).mean())
    assert float(loss.detach()) == pytest.approx(weight + joint / weight)
    label = 1 - joint / weight**2 if through else 1.0
    np.testing.assert_allclose(t.grad.numpy(), (label * (p - hot) + (p - q) / weight) / 6, atol=1e-10)
    np.testing.assert_allclose(s.grad.numpy(), (label * (q - hot) + (q - p) / weight) / 6, atol=1e-10)
    slope = 2 * gap / gap.size / weight
    np.testing.assert_allclose(ht.grad.numpy(), slope, atol=1e-12)
    np.testing.assert_allclose(hs.grad.numpy(), -slope @ w, atol=1e-12)
    np.testing.assert_allclose(wh.grad.numpy(), -slope.T @ h_s, atol=1e-12)


def test_a_perfect_fit_does_not_blow_fedkd_up() -> None:
    perfect = leaf(np.eye(4)[[0, 1, 2, 3]] * 200)
    loss = fedkd_loss(perfect, perfect * 1.0, torch.arange(4), torch.tensor(1.0), floor=0.01)
    assert float(loss.detach()) == pytest.approx(100)


@given(seeds, st.floats(0.5, 4))
def test_two_teachers(seed: int, heat: float) -> None:
    a, b, y, hot = case(seed)
    c = np.random.default_rng(seed + 2).normal(size=a.shape)
    own = leaf(a)
    loss = taught_loss([(0.5, torch.from_numpy(b)), (0.25, torch.from_numpy(c))], heat)
    value = loss(own, torch.from_numpy(y), ALL)
    value.backward()
    p, q, r = softmax(a / heat), softmax(b / heat), softmax(c / heat)
    assert float(value.detach()) == pytest.approx(nll(a, y) + heat**2 * (0.5 * kl(q, p) + 0.25 * kl(r, p)))
    expected = (softmax(a) - hot + heat * (0.5 * (p - q) + 0.25 * (p - r))) / 6
    np.testing.assert_allclose(own.grad.numpy(), expected, atol=1e-12)


@given(seeds)
def test_batches_pick_their_own_rows_of_a_target(seed: int) -> None:
    a, b, y, _ = case(seed)
    rows = torch.tensor([4, 1])
    part = soft_label_loss(torch.from_numpy(softmax(b)))(leaf(a[[4, 1]]), torch.from_numpy(y)[rows], rows)
    assert float(part.detach()) == pytest.approx(kl(softmax(b)[[4, 1]], softmax(a)[[4, 1]]))


@given(seeds)
def test_soft_labels_have_the_gradient_of_cross_entropy(seed: int) -> None:
    a, b, y, _ = case(seed)
    own, target = leaf(a), softmax(b)
    soft_label_loss(torch.from_numpy(target))(own, torch.from_numpy(y), ALL).backward()
    np.testing.assert_allclose(own.grad.numpy(), (softmax(a) - target) / 6, atol=1e-12)


def test_soft_labels_may_hold_zeros() -> None:
    a, _, y, hot = case(1)
    value = soft_label_loss(torch.from_numpy(hot))(leaf(a), torch.from_numpy(y), ALL)
    assert float(value.detach()) == pytest.approx(nll(a, y))


@pytest.mark.parametrize("distance", ["mae", "mse", "kl"])
def test_digest(distance: str) -> None:
    a, b, y, _ = case(2)
    own = leaf(a)
    value = digest_loss(torch.from_numpy(b), distance, 2.0)(own, torch.from_numpy(y), ALL)
    value.backward()
    p, q = softmax(a / 2), softmax(b / 2)
    expected = {
        "mae": (np.abs(a - b).mean(), np.sign(a - b) / a.size),
        "mse": (((a - b) ** 2).mean(), 2 * (a - b) / a.size),
        "kl": (4 * kl(q, p), 2 * (p - q) / 6),
    }[distance]
    assert float(value.detach()) == pytest.approx(expected[0])
    np.testing.assert_allclose(own.grad.numpy(), expected[1], atol=1e-12)


def test_profe_teacher_is_a_constant() -> None:
    a, b, y, hot = case(3)
    draw = np.random.default_rng(0)
    f, g = draw.normal(size=(6, 5)), draw.normal(size=(6, 5))
    student, teacher, hidden, taught = map(leaf, (a, b, f, g))
    own = torch.nn.functional.cross_entropy(student, torch.from_numpy(y))
    value = profe_loss(student, teacher, hidden, taught, own, 0.5, 0.25, 2.0)
    value.backward()
    p, q = softmax(a / 2), softmax(b / 2)
    expected = nll(a, y) + 0.5 * 4 * kl(q, p) + 0.25 * float(((f - g) ** 2).mean())
    assert float(value.detach()) == pytest.approx(expected)
    assert teacher.grad is None
    assert taught.grad is None
    np.testing.assert_allclose(student.grad.numpy(), (softmax(a) - hot + 0.5 * 2 * (p - q)) / 6, atol=1e-12)
    np.testing.assert_allclose(hidden.grad.numpy(), 0.25 * 2 * (f - g) / f.size, atol=1e-12)


def test_one_sigmoid_is_the_two_class_problem() -> None:
    a, b, y, _ = case(4, classes=2)
    one = [leaf(z[:, 1:] - z[:, :1]) for z in (a, b)]
    two = [leaf(z) for z in (a, b)]
    labels = torch.from_numpy(y)
    for column, pair in zip(fml_losses(*one, labels, 0.3, 0.6), fml_losses(*two, labels, 0.3, 0.6), strict=True):
        assert float(column.detach()) == pytest.approx(float(pair.detach()))
