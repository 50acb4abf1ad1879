"""Known noise: equations that it drowns count less, and weighted gradients agree with explicit ones."""

from __future__ import annotations

import torch

from fedprivacy.attacks.membership.joint.gradients import Gradients
from fedprivacy.attacks.membership.joint.layers import Outer, Rows, split
from fedprivacy.attacks.membership.joint.noise import weighted


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


def test_without_noise_all_equations_count_alike_and_with_noise_what_adam_stretched_counts_less():
    draw = torch.Generator().manual_seed(1)
    by = {"w": torch.tensor([[0.1, 0.1], [2.0, 2.0]])}
    moved = [{"w": torch.randn(2, 2, generator=draw), "b": torch.randn(2, generator=draw)} for _ in range(6)]
    still = weighted(moved, by, 0.0)
    torch.testing.assert_close(still["w"], torch.ones(2, 2))
    torch.testing.assert_close(still["b"], torch.ones(2))
    noisy = weighted(
        [{n: t + 5 * torch.randn(t.shape, generator=draw) for n, t in one.items()} for one in moved], by, 5.0
    )
    assert (noisy["w"][0] > 5 * noisy["w"][1]).all()
