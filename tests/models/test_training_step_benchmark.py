"""The benchmark compares like with like: equal networks, counted operations."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.models.build import build

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "training_step.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("training_step_benchmark", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_operations_of_the_papers_network(benchmark: ModuleType) -> None:
    """Forward, weight gradients, and input gradients of all but the first layer; two a multiply-add."""
    layers = [98 * 98 * 32 * 27, 47 * 47 * 64 * 288, 21 * 21 * 64 * 576, 28_224 * 64, 64]
    expected = benchmark.BATCH * 2 * (3 * sum(layers) - layers[0])
    model = build("gupta-cnn", (3, 100, 100), 2, "sigmoid", 0, "test")
    step = benchmark.training_step(model, (3, 100, 100), torch.contiguous_format)
    assert benchmark.operations(step) == expected


def test_every_row_of_the_papers_network_computes_the_same(benchmark: ModuleType) -> None:
    ours = build("gupta-cnn", (3, 100, 100), 2, "sigmoid", 0, "test").eval()
    x = torch.rand(6, 3, 100, 100, generator=seeds.generator(0, "test"))
    wanted = torch.autograd.grad(ours(x).square().mean(), list(ours.parameters()))
    for kind in (benchmark.Plain, benchmark.PooledFirst):
        for layout in (torch.contiguous_format, torch.channels_last):
            model = kind().eval()
            model.load_state_dict(ours.state_dict())
            model.to(memory_format=layout)
            out = model(x.to(memory_format=layout))
            torch.testing.assert_close(out, ours(x), rtol=1e-4, atol=1e-5)
            got = torch.autograd.grad(out.square().mean(), list(model.parameters()))
            torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-5)


def test_one_slice_restores_the_setting(benchmark: ModuleType) -> None:
    from fedprivacy.models import convolution

    before = convolution.SLICE_BYTES
    seen = []
    benchmark.unsliced(lambda: seen.append(convolution.SLICE_BYTES))()
    assert seen == [2**62] and before == convolution.SLICE_BYTES


def test_a_training_step_lowers_the_loss_it_measures(benchmark: ModuleType) -> None:
    model = build("cnn", (1, 8, 8), 10, "softmax", 0, "test")
    step = benchmark.training_step(model, (1, 8, 8), torch.contiguous_format)
    draw = seeds.generator(0, "benchmark", "batch")
    x = torch.rand(benchmark.BATCH, 1, 8, 8, generator=draw)
    y = torch.randint(10, (benchmark.BATCH,), generator=draw)
    before = float(F.cross_entropy(model(x), y).detach())
    assert benchmark.seconds(step, 20) > 0
    assert float(F.cross_entropy(model(x), y).detach()) < before
