"""Noise that simulations show: equations that it drowns count less, weighted gradients agree with explicit ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedprivacy.attacks.membership.joint.gradients import Gradients
from fedprivacy.attacks.membership.joint.layers import Outer, Rows, split
from fedprivacy.attacks.membership.joint.noise import LEAST, precisions


def test_products_of_rows_and_columns_are_found_exactly():
    rows, columns = torch.rand(4, dtype=torch.float64) + 0.1, torch.rand(7, dtype=torch.float64) + 0.1
    found = split(rows[:, None] * columns)
    torch.testing.assert_close(found[0][:, None] * found[1], rows[:, None] * columns)


def test_scaled_gradients_are_the_explicit_ones_times_the_weights():
    draw = torch.Generator().manual_seed(0)
    a, d = torch.randn(5, 7, generator=draw).double(), torch.randn(5, 4, generator=draw).double()
    flat = torch.randn(5, 6, generator=draw).double()
    rows, columns = torch.rand(4, generator=draw).double() + 0.1, torch.rand(7, generator=draw).double() + 0.1
    by = {
        "w": rows[:, None] * columns,
        "b": torch.rand(4, generator=draw).double() + 0.1,
        "conv": torch.rand(2, 3, generator=draw).double() + 0.1,
    }
    found = Gradients((Outer(a, d, "w", "b"), Rows(flat, "conv"))).scaled(by)
    whole = torch.cat(
        [(d[:, :, None] * a[:, None, :] * by["w"]).flatten(1), d * by["b"], flat * by["conv"].flatten()], 1
    )
    torch.testing.assert_close(found.gram(), whole @ whole.T)
    change = {"w": torch.ones(4, 7).double(), "b": torch.ones(4).double(), "conv": torch.ones(2, 3).double()}
    torch.testing.assert_close(found.inner(change), whole.sum(dim=1))


def told(n: int, worlds: int, noise: dict[str, torch.Tensor]):
    """Gradients of n records, and changes by coins of theirs with noise of these deviations."""
    draw = torch.Generator().manual_seed(2)
    found = Gradients(
        (
            Outer(torch.randn(n, 30, generator=draw), torch.randn(n, 20, generator=draw), "w", "b"),
            Rows(torch.randn(n, 24, generator=draw), "conv"),
        )
    )
    coins = np.random.default_rng(3).random((worlds, n)) < 0.5
    shapes = {"w": (20, 30), "b": (20,), "conv": (4, 2, 3)}
    moved = []
    for flips in coins:
        sums = found.combined(torch.from_numpy(flips).float())
        moved.append(
            {
                name: 3.0 * sums[name].reshape(shape) + noise[name] * torch.randn(shape, generator=draw)
                for name, shape in shapes.items()
            }
        )
    return found, moved, coins


def test_combined_gradients_are_the_explicit_sum():
    found, _, _ = told(6, 2, {"w": torch.ones(1), "b": torch.ones(1), "conv": torch.ones(1)})
    by = torch.arange(6.0)
    outer, rows = found.layers
    assert isinstance(outer, Outer) and isinstance(rows, Rows)
    sums = found.combined(by)
    torch.testing.assert_close(sums["w"], torch.einsum("i,io,ij->oj", by, outer.outputs, outer.inputs))
    torch.testing.assert_close(sums["b"], (by[:, None] * outer.outputs).sum(dim=0))
    torch.testing.assert_close(sums["conv"], (by[:, None] * rows.values).sum(dim=0))


def test_weights_are_one_over_the_noise_that_the_coins_leave():
    """Where rows and columns of a matrix are noisy to different degrees, and a kernel is noisier than a bias."""
    rows, columns = torch.linspace(0.5, 4, 20), torch.linspace(0.5, 2, 30)
    noise = {"w": rows[:, None] * columns, "b": torch.full((20,), 2.0), "conv": torch.full((4, 2, 3), 10.0)}
    found, moved, coins = told(8, 400, noise)
    weights = precisions(found, moved, coins)
    expected = {}
    for name, deviation in noise.items():
        flat = deviation.square() if name == "b" else deviation.square().flatten(1)
        if name == "b":
            expected[name] = 1 / (flat + LEAST * flat.mean())
        else:
            whole = flat.mean()
            product = (flat.mean(dim=1) + LEAST * whole)[:, None] * (flat.mean(dim=0) / whole + LEAST)
            expected[name] = (1 / product).reshape(deviation.shape)
    scale = float(weights["b"].square().mean() / expected["b"].mean())
    for name, wanted in expected.items():
        torch.testing.assert_close(weights[name].square() / scale, wanted, rtol=0.25, atol=0)


def test_a_parameter_that_stays_as_it_is_in_every_simulation_has_no_weight():
    found, moved, coins = told(8, 4, {"w": torch.ones(1), "b": torch.ones(1), "conv": torch.ones(1)})
    still = [{**one, "conv": torch.zeros(4, 2, 3)} for one in moved]
    assert set(precisions(found, still, coins)) == {"w", "b"}
    assert precisions(found, [{name: torch.zeros_like(t) for name, t in one.items()} for one in moved], coins) == {}


@pytest.mark.parametrize("times", [1e-6, 1e6])
def test_weights_do_not_depend_on_the_unit_of_the_changes(times: float):
    found, moved, coins = told(8, 6, {"w": torch.ones(1), "b": torch.ones(1), "conv": torch.ones(1)})
    one = precisions(found, moved, coins)
    other = precisions(found, [{name: times * t for name, t in change.items()} for change in moved], coins)
    for name, weight in one.items():
        torch.testing.assert_close(other[name], weight, rtol=1e-3, atol=1e-6)
