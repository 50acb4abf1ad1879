"""The page of audits: its fast games compute what the library does, and what is false there moves more than claimed."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from fedprivacy import seeds
from fedprivacy.training.distillation import fml_losses
from fedprivacy.training.per_sample import clipped_sum
from fedprivacy.wire.payload import Predictions

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "audits"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(request.param)


games = pytest.mark.parametrize("part", ["teacher_runs"], indirect=True)
steps = pytest.mark.parametrize("part", ["teacher_step"], indirect=True)
graphs = pytest.mark.parametrize("part", ["merged"], indirect=True)
rows = pytest.mark.parametrize("part", ["rows"], indirect=True)


@games
@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_the_teachers_gradient_is_that_of_mutual_learning(part: ModuleType, alpha: float) -> None:
    given, setting = part.digits(12, 0), part.Setting(hidden=8)
    net = [weight.requires_grad_() for weight in part.start(setting, 0)]
    shared = torch.randn(12, 10, generator=seeds.generator(0, "test"))
    x, y = given.world(0)
    logits = (part.hidden_of(net, x) @ net[1].transpose(1, 2))[0]
    wanted = torch.autograd.grad(fml_losses(logits, shared, y, alpha, 0.5)[0] * len(x), net)
    found = part.net_sum([w.detach() for w in net], x, y, torch.softmax(shared, 1)[None], alpha, None)
    for own, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(own, other)


@games
def test_clipped_sums_are_the_librarys(part: ModuleType) -> None:
    given, source = part.digits(12, 0), seeds.generator(0, "test")
    x, y = given.world(1)
    private, meme = nn.Sequential(nn.Linear(64, 8, False), nn.ReLU(), nn.Linear(8, 10, False)), nn.Linear(64, 10, False)
    other = torch.randn(13, 10, generator=source)

    def of_rows(which: int, model: nn.Module) -> torch.Tensor:
        logits = model(x)
        pairs = [(logits, other) if which == 0 else (other, logits)]
        (own, common) = pairs[0]
        return torch.stack(
            [fml_losses(own[i : i + 1], common[i : i + 1], y[i : i + 1], 0.3, 0.6)[which] for i in range(13)]
        )

    both = list(private.parameters())
    wanted = clipped_sum(both, lambda: of_rows(0, private), 0.5).total
    net = [weight.detach()[None] for weight in both]
    found = part.net_sum(net, x, y, torch.softmax(other, 1)[None], 0.3, 0.5)
    for own, parameter in zip(found, both, strict=True):
        torch.testing.assert_close(own[0], wanted[parameter])
    total = clipped_sum([meme.weight], lambda: of_rows(1, meme), 0.5).total[meme.weight]
    own = torch.softmax(meme(x), 1).detach()[None]
    mine = part.shared_sum(own, x, y, torch.softmax(other, 1)[None], 0.6, 0.5)
    torch.testing.assert_close(mine[0], total)


@games
def test_a_teacher_trained_without_noise_moves_the_sum_further_than_claimed(part: ModuleType) -> None:
    def moved(teacher: str) -> float:
        setting = part.Setting(n=100, rounds=10, teacher=teacher)
        return float(part.play(setting, 8, 0).mu) / (math.sqrt(setting.releases) / setting.multiplier)

    assert moved("none") == pytest.approx(1.0, abs=0.01)
    assert moved("public") <= 1.0001
    assert moved("dp") <= 1.0001
    assert moved("private") > 1.3


@steps
def test_one_step_moves_by_one_bound_only_without_a_teacher(part: ModuleType) -> None:
    given = part.digits(9, 1)
    _, y = given.world(1)
    source = seeds.generator(0, "test")
    shared, teacher = (torch.randn(10, 10, generator=source) for _ in range(2))
    mean = part.losses_of_rows(teacher, shared, y, 0.3).mean()
    torch.testing.assert_close(mean, fml_losses(teacher, shared, y, 1.0, 0.3)[1])
    assert part.one_step(50, 0.0, 50, True, 0.1, 0) <= 1.0001
    assert part.one_step(50, 1.0, 50, True, 0.1, 0) > 2
    without, within = part.worst_shift(10, 1.0)
    assert float((within - without).norm()) == pytest.approx(11, rel=0.01)


@graphs
def test_rows_of_two_passes_are_merged_and_ours_are_not(part: ModuleType) -> None:
    batch = part.digits(8, 30, 0)
    _, held, _ = part.merged(batch)
    assert held == 30
    assert "other rows than the 8" in part.refused(batch)
    hard = part.chosen(8, 30)
    for one in (batch, hard):
        alone = float((part.separate(one) - part.separate(one.without(0))).norm())
        assert alone <= 1.0001
    assert float((part.merged(hard)[0] - part.merged(hard.without(0))[0]).norm()) > 5


@rows
def test_rows_clipped_one_by_one_get_the_noise_of_a_single_row(part: ModuleType) -> None:
    single = Predictions(torch.tensor([[0.9, *[0.1 / 9] * 9]]), "probabilities")
    one, many = part.honest(1.0, 1, 0), part.false(1.0, 400, 0)
    assert one.deviation == many.deviation == part.honest(1.0, 400, 0).deviation / 20
    draws = np.array([part.false(1.0, 1, root).outgoing(single, "client-0", 1).values[0, 0] for root in range(400)])
    assert draws.std() == pytest.approx(one.deviation, rel=0.15)
    corners = Predictions(torch.eye(10), "probabilities")
    silent = part.RowClipped(0, many.clip, 0.0, "record").outgoing(corners, "client-0", 1)
    moved = (
        silent.values.double()
        - part.RowClipped(0, many.clip, 0.0, "record")
        .outgoing(Predictions(torch.eye(10).flip(0), "probabilities"), "client-0", 1)
        .values.double()
    ).norm()
    assert float(moved) > 2 * part.ROW
