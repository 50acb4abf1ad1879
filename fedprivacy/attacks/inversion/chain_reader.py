"""Reads a module as a straight chain of layers that :mod:`chain_layers` knows."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from fedprivacy.attacks.inversion.chain import ChainMap
from fedprivacy.attacks.inversion.chain_layers import (
    Affine,
    Convolution,
    Curve,
    OneLogit,
    Pointwise,
    Pool,
    Reshape,
    Step,
)
from fedprivacy.models import convolution as models

CACHE_BYTES, GPU_BYTES = 2**22, 2**32
"""Unfolded patches of all layers that one slice of records may hold."""


def _sigmoid(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    value = torch.sigmoid(z)
    slope = value - value * value
    return value, slope, slope - 2 * value * slope


def _tanh(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    value = torch.tanh(z)
    slope = 1 - value * value
    return value, slope, -2 * value * slope


def _relu(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    slope = (z > 0).to(z)
    return z * slope, slope, torch.zeros_like(z)


MODULES: dict[type[nn.Module], Curve] = {nn.Sigmoid: _sigmoid, nn.Tanh: _tanh, nn.ReLU: _relu}
CALLS: dict[Any, Curve] = {
    torch.sigmoid: _sigmoid,
    F.sigmoid: _sigmoid,
    "sigmoid": _sigmoid,
    torch.tanh: _tanh,
    F.tanh: _tanh,
    "tanh": _tanh,
    torch.relu: _relu,
    F.relu: _relu,
    "relu": _relu,
}
CONVOLUTIONS = (nn.Conv2d, models.Convolution, models.PooledConvolution)


def _pair(value: Any) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    return tuple(value) if isinstance(value, tuple) and len(value) == 2 else None


def _pool(module: nn.MaxPool2d | nn.AvgPool2d) -> Step | None:
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    plain = kernel == stride and _pair(module.padding) == (0, 0) and not module.ceil_mode
    if isinstance(module, nn.MaxPool2d):
        plain = plain and _pair(module.dilation) == (1, 1) and not module.return_indices
    return Pool(kernel, isinstance(module, nn.MaxPool2d)) if plain and kernel else None


def _convolution(module: nn.Conv2d) -> list[Step] | None:
    stride, padding = _pair(module.stride), _pair(module.padding)
    plain = module.groups == 1 and _pair(module.dilation) == (1, 1) and module.padding_mode == "zeros"
    if not plain or stride is None or padding is None or type(module) not in CONVOLUTIONS:
        return None
    steps: list[Step] = [Convolution(module.weight, module.bias, stride, padding)]
    return [*steps, Pool((2, 2), True)] if type(module) is models.PooledConvolution else steps


def _module_steps(module: nn.Module) -> list[Step] | None:
    if isinstance(module, nn.Dropout | nn.Dropout2d | nn.Identity):
        return []
    if isinstance(module, nn.Conv2d):
        return _convolution(module)
    step: Step | None = None
    if type(module) is nn.Linear:
        step = Affine(module.weight, module.bias)
    elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        step = _pool(module)
    elif type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        step = Reshape()
    elif type(module) in MODULES:
        step = Pointwise(MODULES[type(module)])
    return None if step is None else [step]


def _steps(node: fx.Node, model: nn.Module) -> list[Step] | None:
    """The layers of one call: [] for what changes no value, None for what is not known here."""
    if node.op == "call_module":
        return _module_steps(model.get_submodule(str(node.target)))
    if node.target is models.channels_last:
        return []
    if node.target in ("flatten", torch.flatten):
        return [Reshape()] if node.args[1:] == (1,) and not node.kwargs else None
    if len(node.args) != 1 or node.target not in CALLS:
        return None
    return [Pointwise(CALLS[node.target])]


class _Tracer(fx.Tracer):
    """Takes convolutions whole, whatever their forward pass does."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


def read_chain(model: nn.Module, input_shape: tuple[int, int, int], like: Tensor) -> ChainMap | None:
    """The chain of ``model``, or None where it is no straight chain of known layers.

    The chain must use the parameters in the module's own order, and must give the module's logits on a probe image.
    """
    try:
        graph = _Tracer(autowrap_functions=(models.channels_last,)).trace(model)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError):
        return None
    steps: list[Step] = []
    used: list[Tensor] = []
    for node, following in pairwise(graph.nodes):
        if list(following.all_input_nodes) != [node] or len(node.users) != 1:
            return None
        if node.op == "placeholder":
            continue
        found = _steps(node, model)
        if found is None:
            return None
        steps += found
        used += list(model.get_submodule(str(node.target)).parameters()) if node.op == "call_module" else []
    if not used or [id(p) for p in used] != [id(p) for p in model.parameters()]:
        return None
    return _proven(steps, model, torch.linspace(-1, 1, math.prod(input_shape)).to(like).view(1, *input_shape))


def _proven(steps: list[Step], model: nn.Module, probe: Tensor) -> ChainMap | None:
    with torch.no_grad():
        logits = model(probe)
        if logits.shape[1:] == (1,):
            steps, logits = [*steps, OneLogit()], F.pad(logits, (1, 0))
        chain = ChainMap(steps)
        try:
            ours = chain.logits(probe)
        except (ValueError, RuntimeError):
            return None
    patches = sum(step.patches.nbytes for step in steps if isinstance(step, Affine))
    chain.at_once = max(1, (GPU_BYTES if probe.is_cuda else CACHE_BYTES) // patches)
    equal = ours.shape == logits.shape and torch.allclose(ours, logits, rtol=1e-3, atol=1e-3)
    return chain if equal else None
