"""A module as a function of one flat vector: its logits, the gradient of a loss, and products with its derivative.

:class:`Flat` takes any module, by automatic differentiation: the gradient keeps its graph, and one more
backward pass through it is the vector product that an adjoint needs. Where an operation has no second derivative, two
more gradients a little way off along the vector tell the product: the second derivative of a loss is symmetric.

What a module remembers beside its weights, such as running statistics, stands in the vector behind them. A step moves
it as the forward pass does, and derivatives do not go through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.func import functional_call

from fedprivacy.attacks.membership.unrolled.batch import Batch
from fedprivacy.training.differentiable import differentiable
from fedprivacy.training.dp_sgd import of_rows
from fedprivacy.training.engines import Engines


class Linearised(Protocol):
    """What the product of a vector with the derivative of a gradient g needs."""

    @property
    def remembered(self) -> Tensor | None:
        """What the forward pass left of the entries that no gradient moves, the last ones; None without any."""

    def product(self, vector: Tensor) -> tuple[Tensor, Tensor | None]:
        """``vector' dg/dw`` [P] and ``vector' dg/dcoins`` [n], None where no coin was in it; may be taken once."""


class Model(Protocol):
    """What a simulation asks of an architecture."""

    @property
    def module(self) -> nn.Module:
        """The module, for its mode."""

    @property
    def lean(self) -> bool:
        """Whether a gradient keeps little more than itself, and no graph with the activations of a batch."""

    def taken(self, x: Tensor) -> Tensor:
        """Normalised records to model input."""

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Named tensors to one vector [P]."""

    def replaced(self, vector: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The vector with some tensors replaced, and 1 where it stayed, 0 where it was replaced; both [P]."""

    def logits(self, vector: Tensor, x: Tensor) -> Tensor:
        """Logits [N, C] at the weights ``vector``, differentiable, in the mode that the module is in."""

    def operations(self, x: Tensor) -> float:
        """Floating-point operations of the products that one record's logits take; ``x`` [1, ...]."""

    def gradient(self, vector: Tensor, batch: Batch, keep: bool) -> tuple[Tensor, Linearised]:
        """The gradient [P] at the weights ``vector``, and itself; ``keep``: a product will be asked for."""

    def norms(self, vector: Tensor, batch: Batch) -> Tensor:
        """L2 norms [B] of the gradients of each record's own loss at the weights ``vector``."""


@dataclass(frozen=True, eq=False)
class Graph:
    """A gradient with its graph from the leaf ``w``; ``random`` is what dropout was drawn from."""

    g: Tensor
    w: Tensor
    model: Flat
    batch: Batch
    random: Tensor
    remembered: Tensor | None

    def product(self, vector: Tensor) -> tuple[Tensor, Tensor | None]:
        coins = self.batch.coins
        inputs = [self.w] if coins is None else [self.w, coins]
        try:
            through, *more = grad(self.g, inputs, vector, allow_unused=True)
        except RuntimeError:
            through, more = None, []
        if through is None:
            return self._by_differences(vector)
        return through, more[0] if more else None

    def _by_differences(self, vector: Tensor) -> tuple[Tensor, Tensor | None]:
        """Central differences, exact but for the square of the way and for rounding, which share what is lost."""
        w, length = self.w.detach(), float(vector.norm())
        if length == 0:
            return torch.zeros_like(w), self.batch.by_coins(torch.zeros_like(self.batch.rows, dtype=w.dtype))
        way = torch.finfo(w.dtype).eps ** (1 / 3) * (1 + float(w.norm())) / length
        before, (up, risen), (down, fallen) = (self._at(w + step * vector) for step in (0.0, way, -way))
        by_shares = (self.batch.each(before[1]) * (risen - fallen)).sum(dim=1) / (2 * way)
        return (up - down) / (2 * way), self.batch.by_coins(by_shares)

    def _at(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient and logits at other weights, with the same units dropped out."""
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(self.random)
            leaf = w.requires_grad_(True)
            logits = self.model.logits(leaf, self.batch.x)
            (g,) = grad(logits, leaf, self.batch.traced(logits, keep=False))
        return g, logits.detach()


@dataclass(frozen=True, eq=False)
class Flat:
    """The parameters of ``module`` in one vector [P], in the order of ``named_parameters``, then its floating-point
    ``buffers``."""

    module: nn.Module
    lean: ClassVar[bool] = False
    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    buffers: tuple[str, ...] = ()

    @classmethod
    def of(cls, module: nn.Module) -> Flat:
        """The flat view of a module."""
        held = {name: b for name, b in module.named_buffers() if b.is_floating_point() and name in module.state_dict()}
        named = {**dict(module.named_parameters()), **held}
        return cls(module, tuple(named), tuple(p.shape for p in named.values()), tuple(held))

    def taken(self, x: Tensor) -> Tensor:
        return x

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([tensors[name].detach().reshape(-1) for name in self.names])

    def replaced(self, vector: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        old = self._named(vector)
        new = {name: tensors.get(name, old[name]) for name in self.names}
        kept = {name: torch.full_like(old[name], float(name not in tensors)) for name in self.names}
        return self.flatten(new), self.flatten(kept)

    def logits(self, vector: Tensor, x: Tensor) -> Tensor:
        return self._answered(vector, x)[0]

    def _answered(self, vector: Tensor, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and what the forward pass left of the buffers."""
        named = self._named(vector)
        named |= {name: named[name].detach().clone() for name in self.buffers}
        with differentiable(self.module):
            answer: Tensor = functional_call(self.module, named, (x,))
        return answer, torch.cat([named[name].flatten() for name in self.buffers]) if self.buffers else None

    def operations(self, x: Tensor) -> float:
        from torch.utils.flop_counter import FlopCounterMode  # a second of imports

        self.module.eval()  # one record alone
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            vector = self.flatten(self.module.state_dict())
            self.logits(vector, x.to(vector.device))
        return float(counter.get_total_flops())

    def gradient(self, vector: Tensor, batch: Batch, keep: bool) -> tuple[Tensor, Linearised]:
        random, leaf = torch.random.get_rng_state(), vector.detach().requires_grad_(True)
        logits, remembered = self._answered(leaf, batch.x)
        (g,) = grad(logits, leaf, batch.traced(logits, keep), create_graph=keep)
        return g.detach(), Graph(g, leaf, self, batch, random, remembered)

    def norms(self, vector: Tensor, batch: Batch) -> Tensor:
        module = self._beside.to(vector).train(self.module.training)
        module.load_state_dict(self._named(vector.detach()), strict=False)
        records = of_rows(module, list(module.parameters()), batch.x, batch.y, batch.rows, batch.loss)
        return Engines().clipped(records, 1.0).norms

    @cached_property
    def _beside(self) -> nn.Module:
        """A copy of the module to load weights into: where the vector is, in its precision, and free to train."""
        return deepcopy(self.module).requires_grad_(True)

    def _named(self, vector: Tensor) -> dict[str, Tensor]:
        parts = torch.split(vector, [shape.numel() for shape in self.shapes])
        return {n: part.view(shape) for n, part, shape in zip(self.names, parts, self.shapes, strict=True)}
