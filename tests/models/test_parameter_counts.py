"""Exact sizes: these numbers are what a protocol that shares weights puts on the wire."""

from __future__ import annotations

import pytest
from torch import nn

from fedprivacy.models.build import Output, build


def _model(name: str, shape: tuple[int, ...], classes: int = 10, output: Output = "softmax") -> nn.Module:
    return build(name, shape, classes, output, 0, "sizes")


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "classes", "expected"),
    [
        ("mlp", (1, 28, 28), 10, 784 * 256 + 256 + 256 * 10 + 10),
        ("mlp", (446,), 30, 446 * 256 + 256 + 256 * 30 + 30),
        ("mlp-small", (1, 28, 28), 10, 50_890),
        ("cnn", (1, 28, 28), 10, 421_642),
        ("cnn", (3, 32, 32), 10, 896 + 18_496 + (64 * 64 * 128 + 128) + 1_290),
        ("cnn", (1, 8, 8), 10, 320 + 18_496 + (64 * 4 * 128 + 128) + 1_290),
        ("lenet-sigmoid", (3, 32, 32), 10, 912 + 3_612 + 3_612 + 7_690),
        ("resnet18", (3, 32, 32), 10, 11_173_962),
        ("resnet18", (3, 224, 224), 1000, 11_689_512),
    ],
)
def test_total(name: str, shape: tuple[int, ...], classes: int, expected: int) -> None:
    assert _count(_model(name, shape, classes)) == expected


def test_the_papers_network_layer_by_layer() -> None:
    model = _model("gupta-cnn", (3, 100, 100), 2, "sigmoid")
    layers = {name: _count(layer) for name, layer in model.named_children() if _count(layer)}
    assert layers == {"conv1": 896, "conv2": 18_496, "conv3": 36_928, "dense": 1_806_400, "head": 65}
    assert _count(model) == 1_862_785
    assert 4 * _count(model) == 7_451_140


def test_the_papers_groups() -> None:
    model = _model("gupta-cnn", (3, 100, 100), 2, "sigmoid")
    sizes = {True: 0, False: 0}
    for name, tensor in model.state_dict().items():
        sizes[name.startswith(model.deep)] += tensor.numel()  # type: ignore[arg-type]
    assert sizes == {False: 56_320, True: 1_806_465}


def test_lenet_on_32_pixels_has_768_features() -> None:
    assert _model("lenet-sigmoid", (3, 32, 32)).feature_size == 768
