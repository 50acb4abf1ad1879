"""Clipped sums: against one backward pass a record, against Opacus, and under inputs that try to exceed the bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy import seeds
from fedprivacy.models.build import build
from fedprivacy.training.attested import attested
from fedprivacy.training.clipping import Batch, Losses
from fedprivacy.training.engines import Engines, Name
from fedprivacy.training.opacus_clipping import clipped_sum_by_hooks, hooked
from fedprivacy.training.per_sample import NotCovered, clipped_sum, recorded


def normed() -> nn.Module:
    """Strides, dilation, a convolution without bias, group and channel normalisation, and a frozen layer."""
    with seeds.torch_scope(0, "normed"):
        model = nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(2, 4),
            nn.ReLU(),
            nn.Conv2d(4, 6, (2, 3), dilation=(1, 2)),
            nn.GroupNorm(1, 6, affine=False),
            nn.Flatten(),
            nn.LazyLinear(5),
            nn.Linear(5, 5),
            nn.Linear(5, 3),
        )
        model(torch.zeros(1, 2, 12, 12))
    model[7].requires_grad_(False)
    return model


def sequence() -> nn.Module:
    """A linear map over several positions of a record."""
    with seeds.torch_scope(0, "sequence"):
        return nn.Sequential(nn.Unflatten(1, (6, 4)), nn.Linear(4, 9), nn.Tanh(), nn.Flatten(), nn.Linear(54, 3))


def wide() -> nn.Module:
    """Few positions, many channels: norms from Gram matrices."""
    with seeds.torch_scope(0, "wide"):
        return nn.Sequential(nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(64, 3))


def named(name: str, shape: tuple[int, ...]) -> Callable[[], nn.Module]:
    return lambda: build(name, shape, 3, "softmax", 0, "model")


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (named("mlp", (7,)), (7,)),
    "cnn": (named("cnn", (1, 12, 12)), (1, 12, 12)),
    "lenet-sigmoid": (named("lenet-sigmoid", (2, 8, 8)), (2, 8, 8)),
    "normed": (normed, (2, 12, 12)),
    "sequence": (sequence, (24,)),
    "wide": (wide, (8, 4, 4)),
}


def batch(shape: tuple[int, ...], rows: int = 6) -> tuple[Tensor, Tensor]:
    draw = seeds.generator(1, "batch")
    return torch.randn(rows, *shape, generator=draw), torch.randint(3, (rows,), generator=draw)


def trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def one_by_one(model: nn.Module, x: Tensor, y: Tensor, bound: float) -> tuple[list[Tensor], Tensor]:
    """The slow oracle: a backward pass a record."""
    parameters = trainable(model)
    total, norms = [torch.zeros_like(p) for p in parameters], []
    for i in range(len(x)):
        own = torch.autograd.grad(functional.cross_entropy(model(x[i : i + 1]), y[i : i + 1]), parameters)
        norms.append(torch.cat([g.flatten() for g in own]).norm())
        for t, g in zip(total, own, strict=True):
            t += g * min(1.0, bound / float(norms[-1]))
    return total, torch.stack(norms)


def largest_gap(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return max(float((x - y).abs().max() / y.abs().max().clamp_min(1e-12)) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_equals_one_backward_pass_a_record(name: str) -> None:
    make, shape = MODELS[name]
    model = make().double().train()
    x, y = (t.double() if t.is_floating_point() else t for t in batch(shape))
    _, norms = one_by_one(model, x, y, 1.0)
    bound = float(norms.median())
    expected, _ = one_by_one(model, x, y, bound)
    found = clipped_sum(trainable(model), lambda: functional.cross_entropy(model(x), y, reduction="none"), bound)
    assert torch.allclose(found.norms, norms, rtol=1e-9)
    assert largest_gap([found.total[p] for p in trainable(model)], expected) < 1e-9
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", ["mlp", "cnn", "wide"])
def test_equals_opacus(name: str) -> None:
    make, shape = MODELS[name]
    model = make().train()
    x, y = batch(shape)
    own = clipped_sum(trainable(model), lambda: functional.cross_entropy(model(x), y, reduction="none"), 0.5)
    with hooked(model) as wrapped:
        theirs = clipped_sum_by_hooks(
            trainable(model), lambda: functional.cross_entropy(wrapped(x), y, reduction="none"), 0.5
        )
    assert torch.allclose(own.norms, theirs.norms, rtol=1e-4)
    parameters = trainable(model)
    assert largest_gap([own.total[p] for p in parameters], [theirs.total[p] for p in parameters]) < 1e-4


def test_opacus_leaves_nothing_behind() -> None:
    model = MODELS["cnn"][0]().train()
    before = set(vars(model)), [len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules()]
    x, y = batch(MODELS["cnn"][1])
    with hooked(model) as wrapped:
        clipped_sum_by_hooks(trainable(model), lambda: functional.cross_entropy(wrapped(x), y, reduction="none"), 1.0)
    after = set(vars(model)), [len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules()]
    assert after == before
    assert not any(hasattr(p, "grad_sample") for p in model.parameters())
    functional.cross_entropy(model(x), y).backward()
    assert all(p.grad is not None for p in model.parameters())


@given(
    scales=st.lists(st.floats(1e-3, 1e4), min_size=5, max_size=5),
    bound=st.floats(1e-3, 10),
    seed=st.integers(0, 1000),
    name=st.sampled_from(["mlp", "cnn"]),
)
@settings(max_examples=25, deadline=None)
def test_one_record_moves_the_sum_by_at_most_the_bound(scales: list[float], bound: float, seed: int, name: str) -> None:
    """Add-remove sensitivity, under inputs as large as anybody likes."""
    make, shape = MODELS[name]
    model = make().train()
    x = torch.randn(5, *shape, generator=seeds.generator(seed, "x"))
    x = x * torch.tensor(scales).view(-1, *[1] * len(shape))
    y = torch.randint(3, (5,), generator=seeds.generator(seed, "y"))

    def total(rows: Tensor) -> Tensor:
        found = clipped_sum(
            trainable(model), lambda: functional.cross_entropy(model(x[rows]), y[rows], reduction="none"), bound
        )
        return torch.cat([found.total[p].double().flatten() for p in trainable(model)])

    everybody = torch.arange(5)
    for left_out in (0, 4):
        moved = total(everybody) - total(everybody[everybody != left_out])
        assert float(moved.norm()) <= bound * (1 + 1e-3)


def test_public_rows_in_the_graph_are_refused() -> None:
    """A second forward pass, of any number of rows, would enter the clipped sum without being counted."""
    model = MODELS["mlp"][0]().train()
    x, y = batch((7,), 8)
    for rows in (30, 8):
        public = torch.randn(rows, 7, generator=seeds.generator(2, "public"))

        def losses(public: Tensor = public) -> Tensor:
            return functional.cross_entropy(model(x), y, reduction="none") + model(public).mean()

        with pytest.raises(ValueError, match="other rows than the 8 of the batch"):
            clipped_sum(trainable(model), losses, 1.0)


def test_opacus_refuses_public_rows_too() -> None:
    model = MODELS["mlp"][0]().train()
    x, y = batch((7,), 8)
    public = torch.randn(30, 7, generator=seeds.generator(2, "public"))
    with hooked(model) as wrapped, pytest.raises(ValueError, match="just the 8 rows"):
        clipped_sum_by_hooks(
            trainable(model),
            lambda: functional.cross_entropy(wrapped(x), y, reduction="none") + wrapped(public).mean(),
            1.0,
        )


class Scaled(nn.Module):
    """A parameter that no known layer uses."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def test_a_parameter_used_otherwise_is_noticed() -> None:
    model = nn.Sequential(Scaled(), nn.Linear(4, 3))
    x, y = batch((4,))
    with pytest.raises(NotCovered):
        clipped_sum(trainable(model), lambda: functional.cross_entropy(model(x), y, reduction="none"), 1.0)
    assert all(p.grad is None for p in model.parameters())


def test_an_unused_parameter_has_a_zero_sum() -> None:
    model = nn.ModuleDict({"used": nn.Linear(4, 3), "spare": nn.Linear(4, 3)})
    x, y = batch((4,))
    found = clipped_sum(trainable(model), lambda: functional.cross_entropy(model["used"](x), y, reduction="none"), 1.0)
    assert not found.total[model["spare"].weight].any()  # type: ignore[index]


class Computed(nn.Module):
    """A linear map whose weight is made from its parameters, beside a plain bias."""

    def __init__(self, make: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.make = make
        self.first, self.second = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4, 4))
        self.bias = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.make(self.first, self.second), self.bias)


COMPUTED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "weight norm": lambda v, g: v / v.norm(dim=1, keepdim=True) * g[:, :1],
    "merged adapter": lambda w, a: w.detach() + a[:, :1] @ a[:1],
    "standardised": lambda w, _: (w - w.mean(dim=1, keepdim=True)) / w.std(dim=1, keepdim=True),
    "transposed": lambda w, _: w.T,
    "rows turned round": lambda w, _: w.flip(0),
    "sum of two": lambda w, v: w + v,
}


def batch_of(model: nn.Module, rows: int = 5, width: int = 4) -> Batch:
    draw = seeds.generator(1, "computed")
    x, y = torch.randn(rows, width, generator=draw, dtype=torch.float64), torch.randint(3, (rows,), generator=draw)
    losses: Losses = lambda out, at: functional.cross_entropy(out, y[at], reduction="none")  # noqa: E731
    return Batch(model, trainable(model), x, losses)


@pytest.mark.parametrize("name", COMPUTED)
def test_a_computed_weight_beside_a_plain_bias_is_never_dropped(name: str) -> None:
    """The recording itself says that it does not cover it, without the second look; another engine takes over."""
    with seeds.torch_scope(0, "computed"):
        model = nn.Sequential(Computed(COMPUTED[name]), nn.Tanh(), nn.Linear(4, 3)).double()
    held = batch_of(model)
    with pytest.raises(NotCovered, match="outside linear maps"):
        recorded(held.parameters, held.each)
    expected, norms = _plain(held, 0.5)
    engines = Engines()
    found = engines.clipped(held, 0.5)
    assert engines.name == "func"
    assert torch.allclose(found.norms, norms, rtol=1e-9)
    assert largest_gap([found.total[p] for p in held.parameters if found.total[p].any()], expected) < 1e-9


def test_what_autograd_does_not_train_stays_as_it_is() -> None:
    """A detached weight has its parameter's place in memory, and no gradient."""
    with seeds.torch_scope(0, "computed"):
        model = nn.Sequential(Computed(lambda w, _: w.detach()), nn.Tanh(), nn.Linear(4, 3)).double()
    held = batch_of(model)
    found = Engines().clipped(held, 0.5)
    assert not found.total[model[0].first].any()  # type: ignore[union-attr, index]
    assert found.total[model[0].bias].any()  # type: ignore[union-attr, index]


def test_two_parameters_in_one_place_of_memory_are_two() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)).double()
    model[2].weight = nn.Parameter(model[0].weight.data)
    held = batch_of(model)
    expected, _ = _plain(held, 0.5)
    found = Engines().clipped(held, 0.5)
    assert largest_gap([found.total[p] for p in held.parameters], expected) < 1e-9


def _plain(held: Batch, bound: float) -> tuple[list[Tensor], Tensor]:
    """The slow oracle, without the parameters whose gradient is zero."""
    total, norms = [torch.zeros_like(p) for p in held.parameters], []
    for i in range(len(held)):
        loss = held.losses(held.module(held.x[i : i + 1]), torch.tensor([i]))
        own = torch.autograd.grad(loss.sum(), list(held.parameters), allow_unused=True, materialize_grads=True)
        norms.append(torch.cat([g.flatten() for g in own]).norm())
        for t, g in zip(total, own, strict=True):
            t += g * min(1.0, bound / float(norms[-1]))
    return [t for t in total if t.any()], torch.stack(norms)


class Bent:
    """Right gradients, bent in one way."""

    def __init__(self, held: Batch, how: str) -> None:
        self.inner, self.how = recorded(held.parameters, held.each), how
        self.norms = self.inner.norms * (1.1 if how == "norms" else 1.0)

    def weighted(self, factors: Tensor) -> dict[nn.Parameter, Tensor]:
        found = self.inner.weighted(factors.flip(0) if self.how == "rows" else factors)
        if self.how == "dropped":
            bias = next(p for p in found if p.ndim == 1)
            found[bias] = torch.zeros_like(bias)
        return found


@pytest.mark.parametrize("how", ["dropped", "rows", "norms"])
def test_the_second_look_finds_what_is_wrong(how: str) -> None:
    with seeds.torch_scope(0, "attested"):
        held = batch_of(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)).double())
    attested(lambda: Bent(held, "nothing"), held)
    with pytest.raises(NotCovered, match="norm is not" if how == "norms" else "do not add up"):
        attested(lambda: Bent(held, how), held)


class Mixing(nn.Module):
    """Every record sees the mean of all, without any layer that says so."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0, keepdim=True) / 2


def test_records_that_act_on_each_other_are_found() -> None:
    """The recording is refused; the next engine takes each record alone, whatever it would do to others."""
    with seeds.torch_scope(0, "mixing"):
        held = batch_of(nn.Sequential(nn.Linear(4, 4), Mixing(), nn.Tanh(), nn.Linear(4, 3)).double())
    engines = Engines()
    found = engines.clipped(held, 0.5)
    assert engines.refusals == [("recording", "the gradients found do not add up to that of the whole batch")]
    expected, norms = _plain(held, 0.5)
    assert torch.allclose(found.norms, norms, rtol=1e-9)
    assert largest_gap([found.total[p] for p in held.parameters], expected) < 1e-9


@pytest.mark.parametrize("name", ["auto", "func", "opacus", "ghost"])
def test_losses_of_shape_n_by_1_are_refused(name: Name) -> None:
    """Opacus' ghost clipping takes such norms up to N times too long."""
    held = batch_of(nn.Linear(4, 1).double())
    wrong = Batch(held.module, held.parameters, held.x, lambda out, at: out.square())
    with pytest.raises(ValueError, match="one number a record"):
        Engines(name).clipped(wrong, 1.0)


def test_dropout_draws_the_same_masks_with_and_without_the_second_look() -> None:
    with seeds.torch_scope(0, "dropout"):
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)).double().train()
    held, found = batch_of(model), []
    for _ in range(2):
        engines = Engines()
        with seeds.torch_scope(0, "masks"):
            found.append(engines.clipped(held, 0.5).norms)
            found.append(engines.clipped(held, 0.5).norms)
        assert engines.refusals == []
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
    assert not torch.equal(found[0], found[1])
