"""The same gradients through Opacus' hooks, written out or as norms alone (ghost clipping): a second opinion.

Slower (7 times plain training on the small CNN, against 1.7). Opacus 1.6 is silently wrong for some layers
(``docs/behaviour.md``): those whose fault depends on the records are refused by kind, the rest by a second look
(:mod:`fedprivacy.training.attested`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from torch import Tensor, nn

from fedprivacy.training.clipping import Batch, Clipped, NotCovered, clipped, one_a_record, refuse_hooks

_LEFT = ("grad_sample", "_forward_counter", "_current_grad_sample", "_norm_sample")


@contextmanager
def hooked(module: nn.Module, kind: Any = GradSampleModule) -> Iterator[nn.Module]:
    """``module`` with Opacus' hooks on it; without them, and without what they left, afterwards.

    Raises NotCovered for layers that its rules get wrong or do not know.
    """
    for layer in module.modules():
        _check(layer)
    refuse_hooks(module.parameters())
    try:
        wrapped: Any = kind(module, loss_reduction="sum")
    except NotImplementedError as error:
        raise NotCovered(f"Opacus: {error}") from error
    try:
        yield wrapped
    finally:
        wrapped.to_standard_module()
        for layer in module.modules():
            for name in ("activations", "max_batch_len", "ft_compute_sample_grad"):
                layer.__dict__.pop(name, None)
        for parameter in module.parameters():
            for name in _LEFT:
                if hasattr(parameter, name):
                    delattr(parameter, name)


def _check(layer: nn.Module) -> None:
    if isinstance(layer, nn.EmbeddingBag):
        raise NotCovered("Opacus counts a word that a bag holds twice once")
    if isinstance(layer, nn.Embedding) and (
        layer.padding_idx is not None or layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse
    ):
        raise NotCovered("Opacus differentiates an embedding as if it had no options")
    if isinstance(layer, nn.modules.conv._ConvNd) and layer.padding_mode != "zeros":
        raise NotCovered("Opacus takes any padding for zeros")
    if isinstance(layer, nn.LayerNorm) and layer.weight is not None and layer.bias is None:
        raise NotCovered("Opacus needs the bias of a layer normalisation")


@dataclass(frozen=True, eq=False)
class Written:
    """Per-record gradients [B, ...] by parameter, written out."""

    own: dict[nn.Parameter, Tensor]
    norms: Tensor

    def weighted(self, factors: Tensor) -> dict[nn.Parameter, Tensor]:
        """``sum_i factors_i g_i`` by parameter, for factors [B]."""
        return {parameter: torch.einsum("b,b...->...", factors, g) for parameter, g in self.own.items()}


@dataclass(frozen=True, eq=False)
class Ghost:
    """Norms alone; a weighted sum is one more backward pass through the same graph."""

    parameters: Sequence[nn.Parameter]
    each: Tensor
    norms: Tensor

    def weighted(self, factors: Tensor) -> dict[nn.Parameter, Tensor]:
        """``sum_i factors_i g_i`` by parameter, for factors [B]."""
        total = (self.each * factors).sum()
        with _quiet():
            found = torch.autograd.grad(
                total, list(self.parameters), retain_graph=True, allow_unused=True, materialize_grads=True
            )
        return dict(zip(self.parameters, found, strict=True))


def of_hooks(batch: Batch) -> Written:
    """Gradients of a batch. Raises NotCovered."""
    with hooked(batch.module) as wrapped:
        return by_hooks(batch.parameters, lambda: batch.each(wrapped))


def by_hooks(parameters: Sequence[nn.Parameter], losses: Callable[[], Tensor]) -> Written:
    """Gradients of each of ``losses()`` [B], where that runs a module that is :func:`hooked`.

    Raises NotCovered where the graph holds other rows than the batch, such as a second forward pass.
    """
    with _passed(parameters):
        each = losses()
        one_a_record(each, len(each)).sum().backward()
        found = {parameter: parameter.grad_sample for parameter in parameters}  # type: ignore[attr-defined]
    if any(not isinstance(g, Tensor) or len(g) != len(each) for g in found.values()):
        raise NotCovered(f"the graph does not hold just the {len(each)} rows of the batch")
    found = {parameter: g.detach() for parameter, g in found.items()}
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in found.values()]).norm(dim=0)
    return Written(found, norms)


def of_ghost(batch: Batch) -> Ghost:
    """Norms of a batch's gradients (Li et al. 2022, arXiv 2110.05679). Raises NotCovered."""
    parameters = batch.parameters
    with hooked(batch.module, GradSampleModuleFastGradientClipping) as wrapped, _passed(parameters):
        each = batch.each(wrapped)
        each.sum().backward(retain_graph=True)
        norms = [getattr(parameter, "_norm_sample", None) for parameter in parameters]
        wrapped.disable_hooks()  # type: ignore[operator]
    if any(not isinstance(norm, Tensor) or norm.shape != each.shape for norm in norms):
        raise NotCovered(f"the graph does not hold just the {len(each)} rows of the batch")
    return Ghost(parameters, each, torch.stack(norms).norm(dim=0).detach())  # type: ignore[arg-type]


def clipped_sum_by_hooks(parameters: Sequence[nn.Parameter], losses: Callable[[], Tensor], bound: float) -> Clipped:
    """:func:`~fedprivacy.training.per_sample.clipped_sum` where ``losses`` runs a module that is :func:`hooked`."""
    return clipped(by_hooks(parameters, losses), bound)


@contextmanager
def _passed(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """One pass through the hooks; what they cannot do becomes NotCovered."""
    for parameter in parameters:
        parameter.grad = parameter.grad_sample = None  # type: ignore[attr-defined]
    with _quiet():
        try:
            yield
        except (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError) as error:
            raise NotCovered(f"Opacus: {error}") from error
        finally:
            for parameter in parameters:
                parameter.grad = parameter.grad_sample = None  # type: ignore[attr-defined]


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield
