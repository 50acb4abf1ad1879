"""Gram matrices and inner products layer by layer, against explicit gradients of one record after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

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
    if name == "tokens":
        return Tokens(), (5, 4)
    shape = (1, 16, 16)
    if name == "block":
        return Block(), shape
    return build(name, shape, CLASSES, "softmax", 3, "test"), shape


@pytest.mark.parametrize("name", ["mlp", "mlp-small", "lenet-sigmoid", "cnn", "block", "tokens"])
def test_every_layer_type_agrees_with_explicit_gradients(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module_under_test, "ROWS", 4)
    monkeypatch.setattr(module_under_test, "BLOCK", 3)
    monkeypatch.setattr(module_under_test, "EXPLICIT", 1000)
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
    monkeypatch.setattr(module_under_test, "ROOM", 4 * RECORDS * 10_000)
    smaller = gradients(module, x, y, losses)
    assert smaller.left_out == ("conv2.weight",)
    slow = explicit(module, x, y)
    kept = torch.cat([rows.flatten(1) for n, rows in slow.items() if n not in smaller.left_out], dim=1).double()
    torch.testing.assert_close(smaller.gram(), kept @ kept.T, rtol=1e-4, atol=1e-6)
