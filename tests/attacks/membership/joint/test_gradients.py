"""Gram matrices and inner products layer by layer, against explicit gradients of one record after the other."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy import seeds
from fedprivacy.attacks.membership.joint import by_layers
from fedprivacy.attacks.membership.joint import gradients as module_under_test
from fedprivacy.attacks.membership.joint.gradients import gradients, stacked
from fedprivacy.attacks.membership.joint.layers import Outer, Rows
from fedprivacy.models.build import build

RECORDS, CLASSES = 7, 3


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


class Tokens(nn.Module):
    """A dense layer over several positions, a norm over groups, and a scale that no layer type knows."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.norm = nn.Linear(4, 6), nn.GroupNorm(2, 6)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 6))
        self.head = nn.Linear(6, CLASSES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.norm(torch.tanh(self.each(x)).transpose(1, 2))
        logits: Tensor = self.head(hidden.mean(dim=2) * self.scale)
        return logits


class Block(nn.Module):
    """Convolutions with strides and normalisation over groups of channels, as residual networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.GroupNorm(2, 4)
        self.second = nn.Conv2d(4, 5, 3, stride=2, padding=1)
        self.head = nn.Linear(5 * 64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.second(torch.relu(self.norm(self.first(x)))).flatten(1))
        return logits


class Made(nn.Module):
    """A forward pass over named parts."""

    def __init__(self, run: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.run, self.parts = run, nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(SimpleNamespace(**self.parts), x)


class NoRule(torch.autograd.Function):
    """The identity, as a function that ``torch.func`` has no rule for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        return slopes[0]


class Both(nn.Module):
    """A weight that reads tokens and, the other way round, names the class: one use is a layer, the other is not."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.mean(dim=1)) + self.head(
            torch.softmax(x @ self.head.weight.T, 2).mean(dim=1).exp() @ self.head.weight
        )
        return logits


IMAGE, WORDS = (1, 8, 8), (5, 4)
MADE: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "tokens": (Tokens, WORDS),
    "block": (Block, (1, 16, 16)),
    "depthwise": (
        lambda: Made(
            lambda m, x: m.h(m.each(torch.relu(m.first(x))).flatten(1)),
            first=nn.Conv2d(1, 4, 3, padding=1),
            each=nn.Conv2d(4, 8, 3, stride=2, groups=4),
            h=nn.Linear(72, CLASSES),
        ),
        IMAGE,
    ),
    "grouped": (
        lambda: Made(
            lambda m, x: m.h(m.each(torch.relu(m.first(x))).flatten(1)),
            first=nn.Conv2d(1, 6, 3, dilation=2),
            each=nn.Conv2d(6, 4, 3, groups=2, bias=False),
            h=nn.Linear(16, CLASSES),
        ),
        IMAGE,
    ),
    "used twice": (
        lambda: Made(
            lambda m, x: m.h(torch.tanh(m.a(torch.tanh(m.a(x.flatten(1)))))),
            a=nn.Linear(20, 20),
            h=nn.Linear(20, CLASSES),
        ),
        WORDS,
    ),
    "large, used twice": (
        lambda: Made(
            lambda m, x: m.h(torch.tanh(m.a(torch.tanh(m.a(x.flatten(1)))))),
            a=nn.Linear(64, 64),
            h=nn.Linear(64, CLASSES),
        ),
        IMAGE,
    ),
    "a layer and no layer": (Both, WORDS),
    "slices, used twice": (
        lambda: Made(
            lambda m, x: m.h(torch.cat([m.a(torch.tanh(m.a(part))) for part in x.flatten(1).split(2)])),
            a=nn.Linear(20, 20),
            h=nn.Linear(20, CLASSES),
        ),
        WORDS,
    ),
    "slices out of order": (
        lambda: Made(
            lambda m, x: m.h(torch.cat([m.a(x.flatten(1)[2:]), m.a(x.flatten(1)[:2])]).roll(2, 0)),
            a=nn.Linear(20, 20),
            h=nn.Linear(20, CLASSES),
        ),
        WORDS,
    ),
    "positions as rows": (
        lambda: Made(
            lambda m, x: m.h(torch.tanh(m.a(x.flatten(0, 1))).unflatten(0, (-1, 5)).mean(dim=1)),
            a=nn.Linear(4, 6),
            h=nn.Linear(6, CLASSES),
        ),
        WORDS,
    ),
    "positions first": (
        lambda: Made(
            lambda m, x: m.h(torch.tanh(m.a(x.transpose(0, 1))).mean(dim=0)), a=nn.Linear(4, 6), h=nn.Linear(6, CLASSES)
        ),
        (4, 4),  # as many positions as records in a batch
    ),
    "gru": (
        lambda: Made(lambda m, x: m.h(m.g(x)[0][:, -1]), g=nn.GRU(4, 5, batch_first=True), h=nn.Linear(5, CLASSES)),
        WORDS,
    ),
    "lstm": (
        lambda: Made(lambda m, x: m.h(m.g(x)[0][:, -1]), g=nn.LSTM(4, 5, 2, batch_first=True), h=nn.Linear(5, CLASSES)),
        WORDS,
    ),
    "transformer": (
        lambda: Made(
            lambda m, x: m.h(m.e(x).mean(dim=1)),
            e=nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
            h=nn.Linear(4, CLASSES),
        ),
        WORDS,
    ),
    "no rule": (
        lambda: Made(
            lambda m, x: m.h(NoRule.apply(m.p(m.c(x[:, 0]))).flatten(1)),
            c=nn.Conv1d(8, 2, 3),
            p=nn.PReLU(),
            h=nn.Linear(12, CLASSES),
        ),
        IMAGE,
    ),
}


def explicit(module: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Gradients [n, ...] by parameter, one backward pass a record."""
    rows: dict[str, list[Tensor]] = {}
    module.eval()
    for one, label in zip(x, y, strict=True):
        module.zero_grad()
        losses(module(one[None]), label[None]).sum().backward()
        for name, parameter in module.named_parameters():
            rows.setdefault(name, []).append(parameter.grad.clone())
    return {name: torch.stack(parts) for name, parts in rows.items()}


def model(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    if name in MADE:
        make, shape = MADE[name]
        with seeds.torch_scope(0, "test", name):
            return make(), shape
    shape = (1, 16, 16)
    return build(name, shape, CLASSES, "softmax", 3, "test"), shape


@pytest.mark.parametrize("name", ["mlp", "mlp-small", "lenet-sigmoid", "cnn", *MADE])
def test_every_layer_type_agrees_with_explicit_gradients(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module_under_test, "ROWS", 4)
    monkeypatch.setattr(module_under_test, "BLOCK", 3)
    monkeypatch.setattr(by_layers, "EXPLICIT", 1000)
    module, shape = model(name)
    module = module.double()
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(RECORDS, *shape, generator=draw, dtype=torch.float64)
    y = torch.randint(0, CLASSES, (RECORDS,), generator=draw)
    found, slow = gradients(module, x, y, losses), explicit(module, x, y)
    assert found.left_out == ()
    whole = torch.cat([rows.flatten(1) for rows in slow.values()], dim=1)
    torch.testing.assert_close(found.gram(), whole @ whole.T, rtol=1e-9, atol=1e-12)
    change = {n: torch.randn(rows.shape[1:], generator=draw, dtype=torch.float64) for n, rows in slow.items()}
    expected = sum((rows * change[n]).flatten(1).sum(dim=1) for n, rows in slow.items())
    torch.testing.assert_close(found.inner(change), expected, rtol=1e-9, atol=1e-12)
    some = frozenset(list(slow)[:2])
    part = torch.cat([slow[n].flatten(1) for n in slow if n in some], dim=1)
    torch.testing.assert_close(found.only(some).gram(), part @ part.T, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.inner({n: change[n] for n in some}), found.only(some).inner(change))


def test_averaging_is_exact_where_the_input_stays_the_same():
    module, shape = model("mlp")
    draw = torch.Generator().manual_seed(1)
    x, y = torch.rand(RECORDS, *shape, generator=draw), torch.randint(0, CLASSES, (RECORDS,), generator=draw)
    first, slow = gradients(module, x, y, losses), explicit(module, x, y)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.05)
    mean = first.plus(gradients(module, x, y, losses)).over(2)
    whole = torch.cat([(slow[n] + rows).flatten(1) / 2 for n, rows in explicit(module, x, y).items()], dim=1).double()
    torch.testing.assert_close(mean.gram(), whole @ whole.T, rtol=1e-4, atol=1e-6)
    assert {type(layer) for layer in mean.layers} == {Outer, Rows}


def test_sets_of_records_can_be_stacked_and_what_is_too_large_is_left_out(monkeypatch: pytest.MonkeyPatch):
    module, shape = model("cnn")
    x, y = torch.rand(RECORDS, *shape), torch.arange(RECORDS) % CLASSES
    whole = gradients(module, x, y, losses)
    parts = stacked([gradients(module, x[:3], y[:3], losses), gradients(module, x[3:], y[3:], losses)])
    torch.testing.assert_close(parts.gram(), whole.gram(), rtol=1e-4, atol=1e-6)
    assert len(parts) == RECORDS
    monkeypatch.setattr(by_layers, "ROOM", 4 * RECORDS * 10_000)
    smaller = gradients(module, x, y, losses)
    assert smaller.left_out == ("conv2.weight",)
    slow = explicit(module, x, y)
    kept = torch.cat([rows.flatten(1) for n, rows in slow.items() if n not in smaller.left_out], dim=1).double()
    torch.testing.assert_close(smaller.gram(), kept @ kept.T, rtol=1e-4, atol=1e-6)
