"""A fleet is its members: stacked models equal those trained alone, and what cannot be stacked is trained alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy.config.run import TrainingConfig
from fedprivacy.training import fleet
from fedprivacy.training.fleet import SMALL, Member, can_stack, pays, train_fleet
from fedprivacy.training.learner import Diverged, Records, Workbench
from fedprivacy.training.losses import cross_entropy, log_probabilities

CPU = torch.device("cpu")


def bench(module: nn.Module, **changes: object) -> Workbench:
    config = TrainingConfig().model_copy(update={"batch_size": 8, **changes})
    return Workbench(lambda name, seed: module, config)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


class Declared(nn.Module):
    """The same, and it says so."""

    relu_chain = ("0", "2")

    def __init__(self, inputs: int = 6, hidden: int = 16) -> None:
        super().__init__()
        self.add_module("0", nn.Linear(inputs, hidden))
        self.add_module("2", nn.Linear(hidden, 3))

    def forward(self, x: Tensor) -> Tensor:
        first, last = self.children()
        logits: Tensor = last(functional.relu(first(x)))
        return logits


def start(number: int) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(number)
    return {name: 0.3 * torch.randn(value.shape, generator=source) for name, value in mlp().state_dict().items()}


def records(number: int, rows: int = 21) -> Records:
    rng = np.random.default_rng(number)
    return Records(rng.standard_normal((rows, 6)).astype(np.float32), rng.integers(0, 3, rows))


def label_fleet_loss(logits: Tensor, labels: Tensor, _: Tensor) -> Tensor:
    return cross_entropy(logits, labels)


def kl_fleet_loss(logits: Tensor, _: Tensor, targets: Tensor) -> Tensor:
    return (targets.exp() * (targets - log_probabilities(logits))).sum(1).mean()


@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "momentum": 0.9, "lr": 0.05},
        {"adam_eps": 1e-3, "adam_eps_form": "keras"},
    ],
)
@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.parametrize("kind", [mlp, Declared])
@pytest.mark.parametrize("at_once", [fleet.AT_ONCE, 0])
def test_stacked_equals_alone(
    optimizer: dict[str, object],
    distilled: bool,
    kind: Callable[[], nn.Module],
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "AT_ONCE", at_once)
    monkeypatch.delattr(fleet, "_by_hand" if kind is mlp else "_by_autograd")
    made = bench(kind(), weight_decay=1e-3, **optimizer)
    source = torch.Generator().manual_seed(4)
    targets = [functional.log_softmax(torch.randn(21, 3, generator=source), 1) if distilled else None for _ in range(5)]
    members = [Member(start(i), records(i), (i, ("fleet",)), targets[i]) for i in range(5)]
    loss = kl_fleet_loss if distilled else label_fleet_loss
    alone = train_fleet(made, "tiny", members, 6, loss, stacked=False)
    together = train_fleet(made, "tiny", members, 6, loss, stacked=True)
    for one, other in zip(alone, together, strict=True):
        assert list(one) == list(other)
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(together[0]["0.weight"], together[1]["0.weight"])
    assert not torch.allclose(together[0]["0.weight"], members[0].weights["0.weight"])


def test_a_member_does_not_depend_on_the_others() -> None:
    made = bench(mlp())
    members = [Member(start(i), records(i), (i, ("fleet",))) for i in range(4)]
    whole = train_fleet(made, "tiny", members, 3, label_fleet_loss, stacked=True)
    part = train_fleet(made, "tiny", members[2:3], 3, label_fleet_loss, stacked=True)
    torch.testing.assert_close(whole[2], part[0], rtol=1e-4, atol=1e-6)


def test_shared_records_with_orders_of_their_own() -> None:
    made, shared = bench(mlp()), records(0)
    members = [Member(start(0), shared, (i, ("fleet",))) for i in range(3)]
    found = train_fleet(made, "tiny", members, 2, label_fleet_loss, stacked=True)
    alone = train_fleet(made, "tiny", members, 2, label_fleet_loss, stacked=False)
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-6)
    assert not torch.equal(found[0]["0.weight"], found[1]["0.weight"])


def test_what_cannot_be_stacked_is_trained_alone() -> None:
    sizes = [Member(start(i), records(i, 10 + i), (i, ("fleet",))) for i in range(2)]
    assert not can_stack(mlp(), sizes)
    with pytest.raises(ValueError, match="cannot be stacked"):
        train_fleet(bench(mlp()), "tiny", sizes, 1, label_fleet_loss, stacked=True)
    assert len(train_fleet(bench(mlp()), "tiny", sizes, 1, label_fleet_loss)) == 2
    equal = [Member(start(i), records(i), (i, ("fleet",))) for i in range(2)]
    assert can_stack(mlp(), equal)
    assert not can_stack(nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.5)), equal)
    assert can_stack(nn.Sequential(nn.Linear(6, 3), nn.Dropout(0.0)), equal)
    assert not can_stack(nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)), equal)


class Recurrent(nn.Module):
    """``torch.func`` has no rule for its middle."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.read(x.unflatten(1, (3, 2)))[0][:, -1])
        return logits


class Looped(nn.Module):
    """``torch.func`` runs its middle model after model, and warns."""

    def __init__(self) -> None:
        super().__init__()
        self.pair, self.head = nn.Bilinear(3, 3, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pair(x[:, :3], x[:, 3:]))
        return logits


@pytest.mark.parametrize("kind", [Recurrent, Looped])
def test_models_that_cannot_be_mapped_are_trained_alone(kind: type[nn.Module]) -> None:
    module = kind()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    members = [Member(weights, records(number), (number, ("order",))) for number in range(2)]
    assert not can_stack(module, members)
    many = train_fleet(bench(module), "model", members, 2, label_fleet_loss)
    alone = [train_fleet(bench(module), "model", [member], 2, label_fleet_loss)[0] for member in members]
    for one, other in zip(many, alone, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.equal(many[0]["head.weight"], weights["head.weight"])


def test_guarded_records_stay_guarded() -> None:
    member = Member(start(0), records(0).as_guarded(), (0, ("fleet",)))
    assert not can_stack(mlp(), [member, member])
    with pytest.raises(ValueError, match="differentially private"):
        train_fleet(bench(mlp()), "tiny", [member, member], 1, label_fleet_loss)


def test_the_choice() -> None:
    large = nn.Linear(SMALL, 1)
    assert pays(mlp(), CPU)
    assert not pays(large, CPU)
    assert pays(Declared(784, 256), CPU)
    assert not pays(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2)), CPU)
    assert pays(large, torch.device("cuda"))


def test_no_records_leave_the_weights() -> None:
    members = [Member(start(i), records(i, 0), (i, ("fleet",))) for i in range(2)]
    for stacked in (False, True):
        found = train_fleet(bench(mlp()), "tiny", members, 2, label_fleet_loss, stacked=stacked)
        assert all(torch.equal(found[i][name], members[i].weights[name]) for i in range(2) for name in found[i])


def test_a_loss_that_is_not_finite_is_told() -> None:
    broken = {name: value * float("nan") for name, value in start(0).items()}
    members = [Member(broken, records(0), (0, ("fleet",))), Member(start(1), records(1), (1, ("fleet",)))]
    with pytest.raises(Diverged):
        train_fleet(bench(mlp()), "tiny", members, 1, label_fleet_loss, stacked=True)
