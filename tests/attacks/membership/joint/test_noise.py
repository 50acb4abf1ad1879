"""Noise that simulations show: equations that it drowns count less, weighted gradients agree with explicit ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedprivacy.attacks.membership.joint.along import undone
from fedprivacy.attacks.membership.joint.decode import decoded
from fedprivacy.attacks.membership.joint.gradients import Gradients
from fedprivacy.attacks.membership.joint.layers import Outer, Rows, split
from fedprivacy.attacks.membership.joint.noise import PULL, weighing
from fedprivacy.metrics.roc import auc


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
    weights = weighing(found, moved, coins).changes
    expected = {"b": torch.full((20,), 0.25)}
    for name in ("w", "conv"):
        flat, share = noise[name].square().flatten(1), 400 / (400 + PULL)
        whole = flat.mean()
        over = [whole + share * (flat.mean(dim=dim) - whole) for dim in (1, 0)]
        expected[name] = (whole / (over[0][:, None] * over[1])).reshape(noise[name].shape)
    scale = float(weights["b"].square().mean() / expected["b"].mean())
    for name, wanted in expected.items():
        torch.testing.assert_close(weights[name].square() / scale, wanted, rtol=0.25, atol=0)


def test_a_parameter_that_stays_as_it_is_in_every_simulation_has_no_weight():
    found, moved, coins = told(8, 4, {"w": torch.ones(1), "b": torch.ones(1), "conv": torch.ones(1)})
    still = [{**one, "conv": torch.zeros(4, 2, 3)} for one in moved]
    assert set(weighing(found, still, coins).changes) == {"w", "b"}
    nothing = weighing(found, [{name: torch.zeros_like(t) for name, t in one.items()} for one in moved], coins)
    assert nothing.changes == nothing.gradients == {}


@pytest.mark.parametrize("times", [1e-6, 1e6])
def test_weights_do_not_depend_on_the_unit_of_the_changes(times: float):
    found, moved, coins = told(8, 6, {"w": torch.ones(1), "b": torch.ones(1), "conv": torch.ones(1)})
    one = weighing(found, moved, coins)
    other = weighing(found, [{name: times * t for name, t in change.items()} for change in moved], coins)
    for name in one.changes:
        torch.testing.assert_close(other.changes[name], one.changes[name], rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(other.gradients[name], one.gradients[name], rtol=1e-3, atol=1e-6)


def test_gradients_are_scaled_by_how_far_each_parameter_answers():
    """One that moves a tenth as far counts as a tenth; one that moves the other way is left out."""
    found, moved, coins = told(8, 6, {name: torch.full((1,), 1e-3) for name in ("w", "b", "conv")})
    times = {"w": 1.0, "b": 0.1, "conv": -1.0}
    weights = weighing(found, [{name: times[name] * t for name, t in one.items()} for one in moved], coins)
    assert set(weights.changes) == set(weights.gradients) == {"w", "b"}
    for name, share in (("w", 1.0), ("b", 0.1)):
        ratio = weights.gradients[name] / weights.changes[name]
        torch.testing.assert_close(ratio, torch.full_like(ratio, share), rtol=1e-3, atol=0)


class Pool:
    """60 records in the simulations (opposite pairs) and in one observed change, all in float64."""

    def __init__(self, seed: int, sizes: dict[str, int], answers: dict[str, float], noise: dict[str, float]) -> None:
        draw, coin = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        values = {name: torch.randn(60, size, generator=draw).double() for name, size in sizes.items()}
        self.found = Gradients(tuple(Rows(rows, name) for name, rows in values.items()))
        first = coin.random((2, 60)) < 0.5
        self.coins = np.stack([first[0], ~first[0], first[1], ~first[1]])
        self.truth = coin.random(60) < 0.5

        def change(flips: np.ndarray) -> dict[str, torch.Tensor]:
            by = torch.from_numpy(flips).double()
            return {
                name: answers[name] * (by @ rows) + noise[name] * torch.randn(sizes[name], generator=draw).double()
                for name, rows in values.items()
            }

        self.moved, self.observed = [change(flips) for flips in self.coins], change(self.truth)

    def areas(self) -> tuple[float, float]:
        """AUC of the observed change, and the mean one of the simulations, both by weighed equations."""
        moved = [{name: t.float() for name, t in one.items()} for one in self.moved]
        single = Gradients(tuple(Rows(rows.values.float(), rows.name) for rows in self.found.layers))
        weights = weighing(single, moved, self.coins)
        used = self.found.only(frozenset(weights.changes)).scaled(weights.gradients)
        answers = torch.stack([used.inner(undone(one, weights.changes)) for one in self.moved])
        seen = used.inner(undone(self.observed, weights.changes))
        result = decoded(used.gram(), seen, answers, self.coins, np.full(60, 0.5), np.ones(60, dtype=bool))
        simulated = [auc(s[c], s[~c]) for s, c in zip(result.simulated, self.coins, strict=True)]
        return auc(result.scores[self.truth], result.scores[~self.truth]), float(np.mean(simulated))


def test_a_quiet_parameter_that_does_not_answer_does_not_swallow_the_rest():
    """As a bias before batch normalisation: gradients record by record, next to no change."""
    for seed in range(5):
        sizes, answers = {"w": 300, "b": 40}, {"w": 1.0, "b": 1e-4}
        assert Pool(seed, sizes, answers, {"w": 2.0, "b": 1e-3}).areas()[0] > 0.98


def test_entries_that_happened_to_be_quiet_are_not_believed():
    """White noise: weights by entry would make the simulations sharper, and the observed change worse."""
    areas = np.array([Pool(seed, {"b": 300}, {"b": 1.0}, {"b": 8.0}).areas() for seed in range(20)])
    real, simulated = areas.mean(axis=0)
    assert real > 0.88
    assert simulated < real + 0.02
