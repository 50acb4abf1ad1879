"""Training on the columns that are not blank: what it leaves out is exactly what stays where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedprivacy.attacks.membership.distillation import Divergence
from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.training import fleet, narrow
from fedprivacy.training.fleet import Fleet, Member, train_fleet, trained_abreast
from fedprivacy.training.learner import Diverged, Records, Workbench
from fedprivacy.training.losses import log_probabilities
from fedprivacy.training.narrow import columns_in_use

WIDTH = 160
OPTIMISERS = [
    {"optimizer": "adam", "lr": 0.01},
    {"optimizer": "sgd", "momentum": 0.9, "lr": 0.05},
    {"optimizer": "sgd", "lr": 0.05},
]


def bench(**changes: object) -> Workbench:
    config = TrainingConfig().model_copy(update={"batch_size": 8, **changes})
    return Workbench(lambda name, seed: build(name, (WIDTH,), 3, "softmax", seed[0], *seed[1]).double(), config)


@pytest.fixture(autouse=True)
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("fleet", "learner"):
        monkeypatch.setattr(f"fedprivacy.training.{module}.normalised", lambda x: x.to(torch.float64))


def records(number: int, used: slice) -> Records:
    draw = np.random.default_rng(number)
    x = np.zeros((21, WIDTH), dtype=np.float32)
    x[:, used] = draw.standard_normal(x[:, used].shape)
    return Records(x, draw.integers(0, 3, len(x)))


def close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, wanted in theirs.items():
        torch.testing.assert_close(ours[name], wanted, rtol=1e-10, atol=1e-12)


def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrow, "LEAST", WIDTH + 1)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("changes", OPTIMISERS)
def test_a_fleet_ends_where_it_does_with_all_columns(
    same: bool, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, draw = bench(**changes), torch.Generator().manual_seed(0)
    members = []
    for number in range(3):
        given = records(0 if same else number, slice(0, 90))
        targets = log_probabilities(torch.randn(21, 3, generator=draw).double())
        members.append(Member(made.initial("mlp", (0, ("start",))), given, (0, ("fit",)), targets))
    ours = train_fleet(made, "mlp", members, 3, Divergence(), stacked=True)
    start = made.initial("mlp", (0, ("start",)))["hidden.weight"]
    assert all(torch.equal(one["hidden.weight"][:, 90:], start[:, 90:]) for one in ours)
    whole(monkeypatch)
    monkeypatch.setattr(fleet, "ToldByTargets", type(None))
    theirs = train_fleet(made, "mlp", members, 3, Divergence(), stacked=False)
    for one, other in zip(ours, theirs, strict=True):
        close(one, other)


def test_one_sigmoid_column() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 1, generator=draw).double().requires_grad_()
    targets = log_probabilities(torch.randn(5, 1, generator=draw).double()).expand(2, 5, 2)
    slopes = Divergence().slopes(logits.detach(), targets)
    for m in range(2):
        wanted = Divergence()(logits[m], targets[m, :, 0], targets[m])
        torch.testing.assert_close(slopes[m], torch.autograd.grad(wanted, logits)[0][m])


def test_where_nothing_is_gained_all_columns_stay() -> None:
    x = np.zeros((4, WIDTH))
    x[:, :150] = 1
    plain = TrainingConfig()
    assert columns_in_use([], plain) is None
    assert columns_in_use([x], plain) is None
    assert columns_in_use([x[:, :100]], plain) is None
    x[:, 80:] = 0
    found = columns_in_use([x, x[:2]], plain)
    assert found is not None and found.tolist() == list(range(80))
    assert columns_in_use([x], plain.model_copy(update={"weight_decay": 0.1})) is None


def test_which_columns_are_left_out_does_not_hang_on_who_stands_beside() -> None:
    """The same bits beside fleets whose records fill other columns, and beside none."""
    made, same = bench(), Divergence()

    def one(number: int, width: int) -> Fleet:
        given = records(number, slice(0, width))
        targets = log_probabilities(torch.randn(21, 3, generator=torch.Generator().manual_seed(number)).double())
        members = [Member(made.initial("mlp", (seed, ("start",))), given, (seed, ("fit",)), targets) for seed in (0, 1)]
        return Fleet(made, "mlp", members, 3, same)

    def trained(*others: Fleet) -> list[dict[str, Tensor]]:
        fleets, alike = [one(0, 60), *others], dict[Any, list[Fleet]]()
        for each in fleets:
            alike.setdefault(each.together, []).append(each)
        found = trained_abreast(next(iter(alike.values())))[0]
        assert not isinstance(found, Diverged)
        return found

    assert one(0, 60).together != one(1, 90).together and one(0, 60).together == one(2, 60).together
    alone = trained()
    for beside in (trained(one(1, 90)), trained(one(2, 60))):
        assert all(torch.equal(a[name], b[name]) for a, b in zip(alone, beside, strict=True) for name in a)
