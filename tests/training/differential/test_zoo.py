"""Layers of known image models, with the inputs that reach them: torchvision's, and timm's where it is installed.

Weights are random. A layer whose buffers move is refused under a claim for records, and counts as such. ``make test``
takes a few models, ``make gradients`` all, and whole models besides.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.torchvision_guard import import_torchvision
from fedprivacy.training.clipping import Losses
from fedprivacy.training.running_state import moving

Compare = Callable[[nn.Module, Tensor, Losses], dict[str, str]]
FULL = "DIFFERENTIAL_MODELS" in os.environ
SIDE, ENTRIES = 64, 40_000
"""Pixels a side of an image; most entries of a layer's weights, above which its kind is taken to be seen elsewhere."""
TORCHVISION = (
    ["squeezenet1_1", "convnext_tiny"]
    if not FULL
    else [
        "alexnet",
        "convnext_tiny",
        "densenet121",
        "efficientnet_b0",
        "mnasnet0_5",
        "mobilenet_v3_small",
        "regnet_y_400mf",
        "resnet18",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
        "swin_t",
    ]
)
TIMM = [
    "convit_tiny",
    "convnext_atto",
    "deit_tiny_patch16_224",
    "edgenext_xx_small",
    "efficientvit_b0",
    "ghostnet_050",
    "gmlp_ti16_224",
    "lcnet_035",
    "mobilevit_xxs",
    "poolformer_s12",
    "resnet10t",
    "xcit_nano_12_p16_224",
]
WHOLE = ["squeezenet1_1", "convnext_tiny"]


def made(name: str) -> nn.Module:
    """A model by name, without any randomness but its weights'."""
    with seeds.torch_scope(0, "zoo", name):
        if name in TIMM:
            import_torchvision()
            model: nn.Module = importlib.import_module("timm").create_model(name, num_classes=7)
        else:
            model = import_torchvision().models.get_model(name, weights=None, num_classes=7)
    for module in model.modules():
        for rate in ("p", "drop_prob", "drop_rate"):
            if isinstance(getattr(module, rate, None), float):
                setattr(module, rate, 0.0)
    return model.double().train()


def inputs(name: str, rows: int) -> Tensor:
    side = 224 if name.endswith("224") or name == "convit_tiny" else SIDE
    return torch.rand(rows, 3, side, side, generator=seeds.generator(0, "zoo", "images"), dtype=torch.float64)


def layers_of(name: str) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Each different layer with trained weights of its own, and what it was given for two images."""
    model, seen = made(name), {}

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        (x,) = given
        if len(x) == 2 and isinstance(x, Tensor):
            seen.setdefault(repr(layer), (layer, x.detach()))

    for layer in model.modules():
        own = list(layer.parameters(recurse=False))
        if own and not list(layer.children()) and sum(p.numel() for p in own) <= ENTRIES:
            layer.register_forward_pre_hook(note)
    model.requires_grad_(False)
    with torch.no_grad():
        model(inputs(name, 2))
    for text, (layer, x) in seen.items():
        layer._forward_pre_hooks.clear()
        layer.requires_grad_(True)
        if isinstance(layer, nn.modules.conv._ConvNd | nn.modules.batchnorm._NormBase | nn.GroupNorm):
            side = max(7, *getattr(layer, "kernel_size", (1,)))
            x = x[..., :side, :side]
        yield text, layer, x.clone()


class Headed(nn.Module):
    """A layer and a number a class made of all that it puts out."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x).flatten(1).tanh()
        return torch.stack([out[:, i::3].sum(dim=1) for i in range(3)], dim=1)


def labelled(classes: int, rows: int) -> Losses:
    y = torch.arange(rows) % classes
    return lambda out, at: F.cross_entropy(out, y[at], reduction="none")


@pytest.mark.parametrize("name", TORCHVISION + (TIMM if FULL else []))
def test_layers_of_known_models(name: str, compare: Compare) -> None:
    if name in TIMM:
        pytest.importorskip("timm", reason="timm is not installed: make gradients installs it")
    tried = 0
    for _, layer, x in layers_of(name):
        model = Headed(layer)
        if moving(model, x):
            continue
        compare(model, x, labelled(3, len(x)))
        tried += 1
    assert tried


@pytest.mark.skipif(not FULL, reason="whole models take a minute: make gradients")
@pytest.mark.parametrize("name", WHOLE)
def test_whole_models(name: str, compare: Compare) -> None:
    compare(made(name), inputs(name, 2), labelled(7, 2))
