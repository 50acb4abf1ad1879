"""Watches one forward pass and keeps, layer by layer, what per-sample gradients are made of.

Every linear map, 2-D convolution and affine normalisation that uses a trainable parameter is run through a function
of its own, whose backward pass hands on the gradient of its input and keeps (input, gradient of its output) in place
of the parameter's gradient. Modules are left as they are: no hooks, and nothing to undo. A parameter that is used in
any other way gets an ordinary gradient, by which the caller sees that this recording does not cover the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]
Geometry = tuple[Pair, Pair, Pair, int]
"""Stride, padding, dilation, groups of a convolution."""


@dataclass(eq=False)
class Use:
    """One use of a weight (and bias) on a batch or a slice of one, in the order of the forward pass.

    ``inputs`` [b, ...] is what the weight was applied to, ``outputs`` the gradient of what came out; None until the
    backward pass.
    """

    kind: Literal["linear", "convolution", "scale"]
    weight: nn.Parameter | None
    bias: nn.Parameter | None
    geometry: Geometry | None = None
    inputs: Tensor | None = None
    outputs: Tensor | None = None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, use: Use) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.use = use
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        ctx.use.inputs, ctx.use.outputs = x, outputs[0]
        return outputs[0] @ weight if ctx.needs_input_grad[0] else None, None, None, None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, use: Use) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.use = use
        return torch.conv2d(x, weight, bias, *_geometry(use))

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        ctx.use.inputs, ctx.use.outputs = x, outputs[0]
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        stride, padding, dilation, groups = _geometry(ctx.use)
        mask = [True, False, False]
        found = torch.ops.aten.convolution_backward(
            outputs[0], x, weight, None, stride, padding, dilation, False, [0, 0], groups, mask
        )
        return found[0], None, None, None


class _Scale(torch.autograd.Function):
    """``x * weight + bias`` along channels: the affine half of a normalisation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, use: Use, shape: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.use, ctx.shape = use, shape
        scaled = x * weight.view(shape)
        return scaled if bias is None else scaled + bias.view(shape)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        ctx.use.inputs, ctx.use.outputs = x, outputs[0]
        return outputs[0] * weight.view(ctx.shape) if ctx.needs_input_grad[0] else None, None, None, None, None


class Recording(TorchFunctionMode):
    """``with Recording(parameters) as seen: loss = ...``, then ``loss.backward()`` fills ``seen.uses``."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._known = {parameter.data_ptr(): parameter for parameter in parameters}
        self.uses: list[Use] = []

    def __enter__(self) -> Recording:
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        handler = _HANDLERS.get(func)
        if handler is not None:
            return handler(self, func, args, dict(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def linear(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        x, weight, bias = _arguments(args, kwargs, ("input", "weight", "bias"))
        if not self._trains(weight, bias):
            return func(*args, **kwargs)
        return _Linear.apply(x, weight, bias, self._use("linear", weight, bias))  # type: ignore[no-untyped-call]

    def convolution(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        x, weight, bias, stride, padding, dilation, groups = _arguments(args, kwargs, names)
        if not self._trains(weight, bias) or isinstance(padding, str):
            return func(*args, **kwargs)
        use = self._use("convolution", weight, bias)
        use.geometry = (_pair(stride, 1), _pair(padding, 0), _pair(dilation, 1), 1 if groups is None else groups)
        return _Convolution.apply(x, weight, bias, use)  # type: ignore[no-untyped-call]

    def group_norm(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        x, groups, weight, bias, eps = _arguments(args, kwargs, ("input", "num_groups", "weight", "bias", "eps"))
        if weight is None or not self._trains(weight, bias):
            return func(*args, **kwargs)
        plain = functional.group_norm(x, groups, None, None, 1e-5 if eps is None else eps)
        shape = (1, -1, *[1] * (x.ndim - 2))
        return _Scale.apply(plain, weight, bias, self._use("scale", weight, bias), shape)  # type: ignore[no-untyped-call]

    def _trains(self, weight: Tensor, bias: Tensor | None) -> bool:
        return self._parameter(weight) is not None or self._parameter(bias) is not None

    def _use(self, kind: Literal["linear", "convolution", "scale"], weight: Tensor, bias: Tensor | None) -> Use:
        use = Use(kind, self._parameter(weight), self._parameter(bias))
        self.uses.append(use)
        return use

    def _parameter(self, tensor: Tensor | None) -> nn.Parameter | None:
        """The parameter that ``tensor`` is, or is a reshaped view of."""
        found = None if tensor is None else self._known.get(tensor.data_ptr())
        return found if found is not None and tensor is not None and found.shape == tensor.shape else None


_HANDLERS: dict[Any, Callable[[Recording, Callable[..., Any], Sequence[Any], dict[str, Any]], Any]] = {
    functional.linear: Recording.linear,
    torch.conv2d: Recording.convolution,
    functional.group_norm: Recording.group_norm,
}


def _arguments(args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    return [given.get(name) for name in names]


def _pair(value: Any, default: int) -> Pair:
    if value is None:
        return default, default
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _geometry(use: Use) -> Geometry:
    if use.geometry is None:
        raise TypeError("a convolution without geometry")
    return use.geometry
