"""Products of what is not zero against whole ones, and fleets that are trained by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fedprivacy.attacks.membership.distillation import Divergence
from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.training.fleet import Fleet, Member, train_fleet, trained_abreast
from fedprivacy.training.learner import Diverged, Records, Workbench
from fedprivacy.training.losses import cross_entropy, log_probabilities, softmax
from fedprivacy.training.passes import batches
from fedprivacy.training.sparse import Sparse, SparseRecords, mostly_zero

CPU = torch.device("cpu")
WIDTH = 160


@given(
    number=st.integers(1, 30),
    width=st.integers(1, 20),
    size=st.integers(1, 12),
    seen=st.integers(1, 30),
    density=st.sampled_from([0.0, 0.1, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_products_of_a_batch(number: int, width: int, size: int, seen: int, density: float, seed: int) -> None:
    """Also of blank records and columns, and where a pass ends before its last record."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(number, width, generator=draw).double()
    x *= torch.rand(number, width, generator=draw) < density
    order, parts = torch.randperm(number, generator=draw), batches(min(seen, number), size, False)
    weight = torch.randn(width, 16, generator=draw).double()
    found = SparseRecords(x).batches(order, parts)
    assert len(found) == len(parts)
    for part, batch in zip(parts, found, strict=True):
        chosen = x[order[part]]
        slope = torch.randn(len(chosen), 16, generator=draw).double()
        torch.testing.assert_close(batch.rows.times(weight), chosen @ weight)
        torch.testing.assert_close(batch.columns.times(slope), chosen.T @ slope)


def bench(kind: torch.dtype = torch.float64, **changes: object) -> Workbench:
    config = TrainingConfig().model_copy(update={"batch_size": 8, **changes})
    return Workbench(lambda name, seed: build(name, (WIDTH,), 3, "softmax", seed[0], *seed[1]).to(kind), config)


def records(number: int, density: float = 0.2, used: int = WIDTH) -> Records:
    draw = np.random.default_rng(number)
    x = draw.standard_normal((21, WIDTH)) * (draw.random((21, WIDTH)) < density)
    x[:, used:] = 0
    return Records(x.astype(np.float32), draw.integers(0, 3, len(x)))


def members(made: Workbench, given: Records, seed: int = 0) -> list[Member]:
    draw = torch.Generator().manual_seed(seed)
    start = made.initial("mlp", (seed, ("start",)))
    kind = start["head.bias"].dtype
    targets = [log_probabilities(torch.randn(21, 3, generator=draw).to(kind)) for _ in range(3)]
    return [Member(start, given, (seed, ("fit",)), one) for one in targets]


@pytest.fixture
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("fleet", "learner"):
        monkeypatch.setattr(f"fedprivacy.training.{module}.normalised", lambda x: x.to(torch.float64))


def label_loss(logits: Tensor, labels: Tensor, _: Tensor) -> Tensor:
    return cross_entropy(logits, labels)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("used", [WIDTH, 90])
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam", "lr": 0.01},
        {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
        {"optimizer": "sgd", "momentum": 0.9, "lr": 0.05},
    ],
)
def test_a_fleet_ends_where_it_does_with_whole_products(
    changes: dict[str, Any], used: int, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, loss, taken = bench(**changes), Divergence() if told else label_loss, list[int]()
    given, batches_of = members(made, records(0, used=used)), SparseRecords.batches

    def counted(self: SparseRecords, order: Tensor, parts: Sequence[slice]) -> list[Sparse]:
        taken.append(len(parts))
        return batches_of(self, order, parts)

    monkeypatch.setattr(SparseRecords, "batches", counted)
    ours = train_fleet(made, "mlp", given, 3, loss, stacked=True)
    assert taken == [3, 3, 3]
    theirs = train_fleet(made, "mlp", given, 3, loss, stacked=False)
    assert taken == [3, 3, 3]
    for one, other in zip(ours, theirs, strict=True):
        assert list(one) == list(other)
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-10, atol=1e-12)


def test_what_gains() -> None:
    thin, full = records(0).x, records(0, 0.5).x
    assert mostly_zero(thin, 256, CPU)
    assert not mostly_zero(full, 256, CPU)
    assert not mostly_zero(thin, 64, CPU)
    assert not mostly_zero(thin, 250, CPU)
    assert not mostly_zero(thin[:, :100], 256, CPU)
    assert not mostly_zero(0 * thin, 256, CPU)
    assert not mostly_zero(thin[:0], 256, CPU)
    assert not mostly_zero(thin, 256, torch.device("cuda"))
    half = full.copy()
    half[:, : WIDTH // 2] = 0
    assert not mostly_zero(half, 256, CPU), "blank columns are left out of whole products too"


def test_how_products_are_taken_does_not_hang_on_who_stands_beside() -> None:
    """The same bits beside a fleet of the same records, of others, and beside none."""
    made, same = bench(torch.float32), Divergence()

    def one(number: int, seed: int) -> Fleet:
        return Fleet(made, "mlp", members(made, records(number), seed), 3, same)

    def trained(*others: Fleet) -> list[dict[str, Tensor]]:
        fleets, alike = [one(0, 0), *others], dict[Any, list[Fleet]]()
        for each in fleets:
            alike.setdefault(each.together, []).append(each)
        found = trained_abreast(next(iter(alike.values())))[0]
        assert not isinstance(found, Diverged)
        return found

    assert one(0, 0).together == one(0, 0).together
    assert len({one(0, 0).together, one(1, 0).together, one(0, 1).together}) == 3
    alone = trained()
    for beside in (trained(one(0, 0)), trained(one(1, 0)), trained(one(0, 1))):
        assert all(torch.equal(a[name], b[name]) for a, b in zip(alone, beside, strict=True) for name in a)


def test_a_layer_alone() -> None:
    """A perceptron without hidden units reads sparse records too."""

    class Single(nn.Module):
        relu_chain = ("only",)

        def __init__(self) -> None:
            super().__init__()
            self.only = nn.Linear(WIDTH, 128)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.only(x)
            return logits

    made = Workbench(lambda name, seed: Single(), TrainingConfig(batch_size=8))
    start = {name: value.clone() for name, value in Single().state_dict().items()}
    given = [Member(start, records(0), (0, ("fit",))) for _ in range(2)]
    ours = train_fleet(made, "single", given, 2, label_loss, stacked=True)
    theirs = train_fleet(made, "single", given, 2, label_loss, stacked=False)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_softmax() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [1.0, 2.0, 3.0]])
    torch.testing.assert_close(softmax(logits), torch.softmax(logits, -1))
