"""The KL mathematics: against scipy, against exact rational arithmetic, and its stated properties."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr
from scipy.stats import entropy
from torch.nn import functional

from fedprivacy.training.losses import (
    CLIP,
    cross_entropy,
    kl_divergence,
    literal_kl,
    log_probabilities,
    predicted_class,
)

logits = arrays(np.float64, (4, 5), elements=st.floats(-12, 12))
columns = arrays(np.float64, (6, 1), elements=st.floats(-9, 9))


def logp(values: np.ndarray) -> torch.Tensor:
    return log_probabilities(torch.from_numpy(values))


@given(logits, logits)
def test_kl_is_scipys(a: np.ndarray, b: np.ndarray) -> None:
    p, q = logp(a).exp().numpy(), logp(b).exp().numpy()
    expected = entropy(p, q, axis=1).mean()
    assert float(kl_divergence(logp(a), logp(b))) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(logits, logits)
def test_kl_is_never_negative_and_zero_at_equality(a: np.ndarray, b: np.ndarray) -> None:
    assert float(kl_divergence(logp(a), logp(b))) >= -1e-12
    assert float(kl_divergence(logp(a), logp(a))) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=2, max_size=6))
def test_kl_of_exact_rationals(counts: list[tuple[int, int]]) -> None:
    p = [Fraction(a, sum(x for x, _ in counts)) for a, _ in counts]
    q = [Fraction(b, sum(x for _, x in counts)) for _, b in counts]
    exact = sum(
        float(a) * (log(a.numerator) - log(a.denominator) - log(b.numerator) + log(b.denominator))
        for a, b in zip(p, q, strict=True)
    )
    ours = kl_divergence(*(torch.tensor([[float(v) for v in row]], dtype=torch.float64).log() for row in (p, q)))
    assert float(ours) == pytest.approx(exact, abs=1e-12)


@given(logits, logits, st.permutations(range(5)))
def test_kl_does_not_care_for_the_order_of_classes(a: np.ndarray, b: np.ndarray, order: list[int]) -> None:
    moved = kl_divergence(logp(a[:, order]), logp(b[:, order]))
    assert float(moved) == pytest.approx(float(kl_divergence(logp(a), logp(b))), rel=1e-9, abs=1e-12)


@given(logits, logits, st.floats(-30, 30))
def test_kl_does_not_see_a_constant_added_to_logits(a: np.ndarray, b: np.ndarray, shift: float) -> None:
    assert float(kl_divergence(logp(a + shift), logp(b))) == pytest.approx(
        float(kl_divergence(logp(a), logp(b))), rel=1e-7, abs=1e-9
    )


@given(columns, columns)
def test_bernoulli_kl_is_the_categorical_kl_of_two_columns(a: np.ndarray, b: np.ndarray) -> None:
    pairs = [np.hstack([np.zeros_like(z), z]) for z in (a, b)]
    p, q = 1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-b))
    bernoulli = (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).mean()
    assert float(kl_divergence(logp(a), logp(b))) == pytest.approx(bernoulli, abs=1e-10)
    assert float(kl_divergence(*map(logp, pairs))) == pytest.approx(bernoulli, abs=1e-10)


@given(columns, columns)
def test_gradient_of_the_bernoulli_kl(a: np.ndarray, b: np.ndarray) -> None:
    z = torch.from_numpy(a).requires_grad_()
    kl_divergence(log_probabilities(z), logp(b)).backward()
    p = 1 / (1 + np.exp(-a))
    expected = p * (1 - p) * (a - b) / len(a)
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.numpy(), expected, atol=1e-10)


@given(columns, columns)
def test_gradient_of_the_reversed_kl_is_p_minus_q(a: np.ndarray, b: np.ndarray) -> None:
    z = torch.from_numpy(a).requires_grad_()
    kl_divergence(logp(b), log_probabilities(z)).backward()
    assert z.grad is not None
    np.testing.assert_allclose(z.grad.numpy(), (1 / (1 + np.exp(-a)) - 1 / (1 + np.exp(-b))) / len(a), atol=1e-10)


def literal(p: float, q: float) -> float:
    pair = [torch.tensor([[1 - v, v]], dtype=torch.float64).log() for v in (p, q)]
    return float(literal_kl(*pair))


def test_the_literal_formula_is_no_divergence() -> None:
    assert literal(0.3, 0.3) == pytest.approx(0)
    assert literal(0.2, 0.6) < 0
    q = 0.5
    assert literal(q / np.e, q) == pytest.approx(-q / np.e)
    grid = [literal(p, q) for p in np.linspace(0.01, 0.99, 99)]
    assert min(grid) >= -q / np.e - 1e-12
    step = 1e-6
    assert (literal(q + step, q) - literal(q - step, q)) / (2 * step) == pytest.approx(1, abs=1e-6)


def test_the_literal_formula_clips_both_sides() -> None:
    assert literal(1 - 1e-12, 1e-12) == pytest.approx(log(1 / CLIP), rel=1e-6)


@given(columns, arrays(np.int64, (6,), elements=st.integers(0, 1)))
def test_one_sigmoid_is_two_classes(z: np.ndarray, y: np.ndarray) -> None:
    one, labels = torch.from_numpy(z), torch.from_numpy(y)
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    assert float(cross_entropy(one, labels)) == pytest.approx(float(functional.cross_entropy(two, labels)), abs=1e-12)
    torch.testing.assert_close(log_probabilities(one), functional.log_softmax(two, dim=1))
    decided = z[:, 0] != 0
    assert (predicted_class(one).numpy() == two.argmax(dim=1).numpy())[decided].all()


def test_torchs_argument_order_is_the_one_stated() -> None:
    """``kl_div(log_b, a)`` is KL(a || b)."""
    draw = torch.Generator().manual_seed(1)
    a, b = (torch.randn(8, 10, dtype=torch.float64, generator=draw).log_softmax(1) for _ in range(2))
    by_torch = functional.kl_div(b, a.exp(), reduction="batchmean")
    assert float(kl_divergence(a, b)) == pytest.approx(float(by_torch))
    assert float(kl_divergence(a, b)) != pytest.approx(float(kl_divergence(b, a)))
