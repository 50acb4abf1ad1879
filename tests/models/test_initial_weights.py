"""Initial weights follow the named seed and nothing else, with the bounds that the papers state."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from fedprivacy.models.build import build
from fedprivacy.models.names import MODELS

SHAPE = (3, 20, 20)


def _weights(name: str, root: int, *seed: str | int) -> dict[str, Tensor]:
    return build(name, SHAPE, 4, "softmax", root, *seed).state_dict()


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_weights_depend_on_the_seed_alone_and_the_global_stream_is_untouched(name: str) -> None:
    first = _weights(name, 7, "client", 3)
    torch.rand(11)
    before = torch.random.get_rng_state()
    second = _weights(name, 7, "client", 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert _equal(first, second)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_another_root_or_name_draws_every_kernel_anew(name: str) -> None:
    first = _weights(name, 7, "client", 3)
    for other in (_weights(name, 8, "client", 3), _weights(name, 7, "client", 4)):
        kernels = [key for key, tensor in first.items() if tensor.dim() > 1]
        assert kernels and not any(torch.equal(first[key], other[key]) for key in kernels)


def test_glorot_uniform_kernels_and_zero_biases_of_the_papers_network() -> None:
    model = build("gupta-cnn", (3, 100, 100), 2, "sigmoid", 0, "init")
    fans = {
        "conv1": (27, 288),
        "conv2": (288, 576),
        "conv3": (576, 576),
        "dense": (28_224, 64),
        "head": (64, 1),
    }
    for name, (fan_in, fan_out) in fans.items():
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None
        bound = math.sqrt(6 / (fan_in + fan_out))
        assert torch.all(layer.bias == 0)
        assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound
        if layer.weight.numel() > 800:
            assert float(layer.weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.06)


def test_lenet_is_uniform_between_minus_half_and_half() -> None:
    values = torch.cat([p.detach().flatten() for p in build("lenet-sigmoid", SHAPE, 4, "softmax", 0).parameters()])
    assert float(values.min()) >= -0.5 and float(values.max()) <= 0.5
    assert float(values.mean()) == pytest.approx(0, abs=0.01)
    assert float(values.std()) == pytest.approx(1 / math.sqrt(12), rel=0.02)
