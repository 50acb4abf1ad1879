"""Watches one forward pass and keeps, layer by layer, what per-sample gradients are made of.

Every linear map, 2-D convolution and affine normalisation that uses a trainable parameter is run through a function
of its own, whose backward pass hands on the gradient of its input and keeps (input, gradient of its output) in place
of the parameter's gradient. Modules are left as they are: no hooks, and nothing to undo. That happens only where every
tensor of the layer that needs a gradient is a trained parameter, told by autograd's graph and not by its place in
memory. A parameter that is used in any other way, such as for a computed weight, gets an ordinary gradient, by which
the caller sees that this recording does not cover the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from fedprivacy.training.clipping import NotCovered, refuse_hooks

Pair = tuple[int, int]
Geometry = tuple[Pair, Pair, Pair, int]
"""Stride, padding, dilation, groups of a convolution."""
_SAME_ORDER = frozenset({"ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0", "CloneBackward0"})
"""Operations that leave all entries in their order, so that an equal shape means an equal tensor."""


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
    spread: tuple[int, ...] = ()
    """Shape in which a scale meets its inputs, 1 where it is the same for all."""
    inputs: Tensor | None = None
    outputs: Tensor | None = None

    def keep(self, inputs: Tensor, outputs: Tensor) -> None:
        """Raises NotCovered on a second backward pass: this holds one, and not the sum of two."""
        if self.outputs is not None:
            raise NotCovered("the loss takes gradients itself")
        self.inputs, self.outputs = inputs, outputs


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, use: Use) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.use = use
        return functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        ctx.use.keep(x.detach(), outputs[0])
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
        ctx.use.keep(x.detach(), outputs[0])
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        stride, padding, dilation, groups = _geometry(ctx.use)
        mask = [True, False, False]
        found = torch.ops.aten.convolution_backward(
            outputs[0], x, weight, None, stride, padding, dilation, False, [0, 0], groups, mask
        )
        return found[0], None, None, None


class _Scale(torch.autograd.Function):
    """``x * weight + bias`` along some dimensions: the affine half of a normalisation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, use: Use) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.use = use
        scaled = x * weight.view(use.spread)
        return scaled if bias is None else scaled + bias.view(use.spread)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        ctx.use.keep(x.detach(), outputs[0])
        return outputs[0] * weight.view(ctx.use.spread) if ctx.needs_input_grad[0] else None, None, None, None


class Recording(TorchFunctionMode):
    """``with Recording(parameters) as seen: loss = ...``, then ``loss.backward()`` fills ``seen.uses``."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self._known = {id(parameter): parameter for parameter in parameters}
        self.uses: list[Use] = []
        refuse_hooks(self._known.values())

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
        if x.ndim < 2 or not self._trains(weight, bias):
            return func(*args, **kwargs)
        return _Linear.apply(x, weight, bias, self._use("linear", weight, bias))  # type: ignore[no-untyped-call]

    def convolution(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
        x, weight, bias, stride, padding, dilation, groups = _arguments(args, kwargs, names)
        if x.ndim != 4 or isinstance(padding, str) or not self._trains(weight, bias):
            return func(*args, **kwargs)
        use = self._use("convolution", weight, bias)
        use.geometry = (_pair(stride, 1), _pair(padding, 0), _pair(dilation, 1), 1 if groups is None else groups)
        return _Convolution.apply(x, weight, bias, use)  # type: ignore[no-untyped-call]

    def group_norm(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        x, groups, weight, bias, eps = _arguments(args, kwargs, ("input", "num_groups", "weight", "bias", "eps"))
        plain = lambda: functional.group_norm(x, groups, None, None, 1e-5 if eps is None else eps)  # noqa: E731
        return self._scaled(func, args, kwargs, plain, (1, -1, *[1] * (x.ndim - 2)), weight, bias)

    def layer_norm(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        x, shape, weight, bias, eps = _arguments(args, kwargs, ("input", "normalized_shape", "weight", "bias", "eps"))
        spread = (*[1] * (x.ndim - len(shape)), *shape)
        plain = lambda: functional.layer_norm(x, shape, None, None, 1e-5 if eps is None else eps)  # noqa: E731
        return self._scaled(func, args, kwargs, plain, spread, weight, bias)

    def rms_norm(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        x, shape, weight, eps = _arguments(args, kwargs, ("input", "normalized_shape", "weight", "eps"))
        spread = (*[1] * (x.ndim - len(shape)), *shape)
        return self._scaled(func, args, kwargs, lambda: functional.rms_norm(x, shape, None, eps), spread, weight, None)

    def _scaled(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        plain: Callable[[], Tensor],
        spread: tuple[int, ...],
        weight: Tensor | None,
        bias: Tensor | None,
    ) -> Any:
        """A normalisation without its affine half, then that half as a layer of its own."""
        if weight is None or spread[0] != 1 or not self._trains(weight, bias):
            return func(*args, **kwargs)
        use = self._use("scale", weight, bias)
        use.spread = tuple(weight.numel() if size == -1 else size for size in spread)
        return _Scale.apply(plain(), weight, bias, use)  # type: ignore[no-untyped-call]

    def hook(self, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if self._origin(args[0]) is not None:
            raise NotCovered("a parameter has a hook that may change its gradient")
        return func(*args, **kwargs)

    def _trains(self, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether a trained parameter is used, and nothing else that needs a gradient, which would be lost."""
        given = [tensor for tensor in (weight, bias) if tensor is not None and tensor.requires_grad]
        return bool(given) and all(self._parameter(tensor) is not None for tensor in given)

    def _use(self, kind: Literal["linear", "convolution", "scale"], weight: Tensor, bias: Tensor | None) -> Use:
        use = Use(kind, self._parameter(weight), self._parameter(bias))
        self.uses.append(use)
        return use

    def _parameter(self, tensor: Tensor | None) -> nn.Parameter | None:
        """The trained parameter that ``tensor`` equals, entry by entry."""
        found = None if tensor is None else self._origin(tensor)
        return found if found is not None and tensor is not None and found.shape == tensor.shape else None

    def _origin(self, tensor: Tensor) -> nn.Parameter | None:
        """The trained parameter whose entries ``tensor`` has in their order, in whatever shape."""
        node = tensor.grad_fn
        if node is None:
            return self._known.get(id(tensor)) if tensor.requires_grad else None
        while node is not None and node.name() in _SAME_ORDER:
            node = node.next_functions[0][0]
        return self._known.get(id(getattr(node, "variable", None)))


_HANDLERS: dict[Any, Callable[[Recording, Callable[..., Any], Sequence[Any], dict[str, Any]], Any]] = {
    functional.linear: Recording.linear,
    torch.conv2d: Recording.convolution,
    functional.group_norm: Recording.group_norm,
    functional.layer_norm: Recording.layer_norm,
    functional.rms_norm: Recording.rms_norm,
    torch.Tensor.register_hook: Recording.hook,
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
