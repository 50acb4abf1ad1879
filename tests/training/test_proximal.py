"""The proximal term: value, gradient, and what it does to training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy.training.proximal import proximal


@given(st.integers(0, 2**32 - 1), st.floats(0, 10))
def test_value_and_gradient(seed: int, mu: float) -> None:
    draw = np.random.default_rng(seed)
    w, a = [draw.normal(size=s) for s in ((3, 2), (4,))], [draw.normal(size=s) for s in ((3, 2), (4,))]
    own = [torch.from_numpy(v.copy()).requires_grad_() for v in w]
    value = proximal(own, [torch.from_numpy(v) for v in a], mu)
    value.backward()
    distance = sum(((x - y) ** 2).sum() for x, y in zip(w, a, strict=True))
    assert float(value.detach()) == pytest.approx(mu / 2 * float(distance), abs=1e-12)
    for leaf, x, y in zip(own, w, a, strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), mu * (x - y), atol=1e-12)


def test_parameters_and_anchor_must_pair_up() -> None:
    with pytest.raises(ValueError):
        proximal([torch.zeros(2)], [], 1.0)
