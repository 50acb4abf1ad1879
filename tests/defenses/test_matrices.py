"""Clipping holds whatever comes in; a stated sensitivity is never exceeded, and row clipping would exceed it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from fedprivacy.defenses import matrices
from fedprivacy.wire.payload import Predictions

HOSTILE = arrays(
    np.float32,
    st.tuples(st.integers(1, 12), st.integers(1, 6)),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)


@given(values=HOSTILE, bound=st.floats(1e-6, 1e6))
def test_no_input_escapes_the_clip_bounds(values: np.ndarray, bound: float) -> None:
    matrix = matrices.finite(torch.from_numpy(values))
    assert float(matrices.clip_norm(matrix, bound).norm()) <= bound * (1 + 1e-12)
    assert float(matrices.clip_sum(matrix, bound).abs().sum()) <= bound * (1 + 1e-12)


@given(values=HOSTILE, other=HOSTILE, bound=st.floats(1e-3, 1e3))
def test_two_clipped_matrices_are_at_most_two_bounds_apart(values: np.ndarray, other: np.ndarray, bound: float) -> None:
    one, two = (matrices.finite(torch.from_numpy(v)) for v in (values, other))
    if one.shape == two.shape:
        apart = matrices.clip_norm(one, bound) - matrices.clip_norm(two, bound)
        assert float(apart.norm()) <= 2 * bound * (1 + 1e-12)


def test_two_opposite_matrices_reach_it() -> None:
    one = torch.full((53, 1), 9.0, dtype=torch.float64)
    apart = matrices.clip_norm(one, 2.0) - matrices.clip_norm(-one, 2.0)
    assert float(apart.norm()) == pytest.approx(4.0)


def test_row_clipping_would_have_a_sensitivity_of_two_bounds_times_the_root_of_the_rows() -> None:
    one = torch.full((53, 1), 9.0, dtype=torch.float64)
    rows = torch.stack([matrices.clip_norm(row, 1.0) + matrices.clip_norm(row, 1.0) for row in one])
    assert float(rows.norm()) == pytest.approx(2 * math.sqrt(53))


@given(rows=st.integers(1, 30), columns=st.integers(1, 8), seed=st.integers(0, 99))
def test_probabilities_never_exceed_their_natural_bounds(rows: int, columns: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    if columns == 1:
        corner = torch.from_numpy(draw.integers(0, 2, (rows, 1)).astype(float))
        inside = torch.from_numpy(draw.random((rows, 1)))
    else:
        corner = torch.from_numpy(np.eye(columns)[draw.integers(0, columns, rows)])
        inside = torch.from_numpy(draw.dirichlet(np.ones(columns), rows))
    centre = matrices.centre("probabilities", columns, max(columns, 2))
    norm, total = matrices.largest_norm(rows, columns), matrices.largest_sum(rows, columns)
    assert float((corner - centre).norm()) == pytest.approx(norm)
    assert float((corner - centre).abs().sum()) == pytest.approx(total)
    assert float((inside - centre).norm()) <= norm * (1 + 1e-9)
    assert float((inside - centre).abs().sum()) <= total * (1 + 1e-9)


@given(
    values=arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(2, 6)), elements=st.floats(-30, 30, allow_nan=False)
    )
)
def test_projection_gives_distributions_and_keeps_the_order(values: np.ndarray) -> None:
    found = matrices.projected(torch.from_numpy(values)).numpy()
    assert (found >= 0).all()
    assert np.allclose(found.sum(axis=1), 1)
    for row, sent in zip(found, values, strict=True):
        order = np.argsort(sent)
        assert (np.diff(row[order]) >= -1e-9).all()


@pytest.mark.parametrize("seed", range(5))
def test_projection_is_the_nearest_distribution(seed: int) -> None:
    point = np.random.default_rng(seed).normal(0.3, 1.0, 4)
    oracle = minimize(
        lambda p: ((p - point) ** 2).sum(),
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
        options={"ftol": 1e-14},
    ).x
    assert np.allclose(matrices.projected(torch.from_numpy(point)[None])[0].numpy(), oracle, atol=1e-5)


def test_projection_leaves_distributions_alone_and_clamps_one_column() -> None:
    already = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.allclose(matrices.projected(already), already)
    assert matrices.projected(torch.tensor([[-1.0], [0.4], [3.0]])).flatten().tolist() == pytest.approx([0, 0.4, 1])


def test_predicted_classes() -> None:
    many = torch.tensor([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    one = torch.tensor([[0.7], [0.2]])
    assert matrices.predicted(Predictions(many, "probabilities")).tolist() == [1, 0]
    assert matrices.predicted(Predictions(one, "probabilities")).tolist() == [1, 0]
    assert matrices.predicted(Predictions(one - 0.5, "logits")).tolist() == [1, 0]
    assert matrices.predicted(Predictions(torch.tensor([[3], [0]], dtype=torch.uint8), "labels")).tolist() == [3, 0]
    with pytest.raises(TypeError, match="losses"):
        matrices.predicted(Predictions(one, "losses"))
    assert matrices.as_labels(torch.tensor([3, 300])).values.tolist() == [[3], [300]]
