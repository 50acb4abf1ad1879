"""Where traps can be laid: a dense layer whose output passes a ReLU, found by what a module does and not by its name.

Convolutions before it stay as they are, so that rows wait for the features of a record. A layer fits if negative
outputs are as good as none: what comes behind does not tell -1 from -3. The model's last layer does not fit, nor one
that is followed by a smooth activation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.adversary.threat import Int
from fedprivacy.training.learner import normalised
from fedprivacy.training.losses import cross_entropy

BATCH = 256
NO_ROOM = (
    "traps need a dense layer that is followed by a ReLU and is not the last one, and the model has none: no row of it "
    "can lie in wait for a record"
)


@dataclass(frozen=True)
class TrapLayer:
    """``name`` of the layer, ``rows``, the ``dropout`` rate of what it reads, and whether the last layer reads it."""

    name: str
    rows: int
    dropout: float
    before_head: bool

    @property
    def weight(self) -> str:
        """Name of its weight [rows, d]."""
        return f"{self.name}.weight"

    @property
    def bias(self) -> str:
        """Name of its bias [rows]."""
        return f"{self.name}.bias"


def trap_layer(module: nn.Module, x: NDArray[Any]) -> TrapLayer:
    """The first layer of ``module`` that fits, judged on some records ``x`` as stored. ValueError where none does."""
    batch = normalised(torch.from_numpy(x[:BATCH]).to(_device(module)))
    head = getattr(module, "head", None)
    with torch.no_grad():
        for name, layer in _dense(module, batch):
            if layer is head or layer.bias is None or not dead_below_zero(module, layer, batch):
                continue
            return TrapLayer(
                name, layer.out_features, _dropout(module, layer, batch), _reads(module, head, layer, batch)
            )
    raise ValueError(NO_ROOM)


def layer_inputs(module: nn.Module, layer: TrapLayer, x: NDArray[Any], rows: int = 512) -> Tensor:
    """What the layer reads of records as stored, [n, d] float32 on the CPU, under the module's present weights."""
    dense = module.get_submodule(layer.name)
    parts = []
    with torch.no_grad():
        for first in range(0, len(x), rows):
            batch = normalised(torch.from_numpy(x[first : first + rows]).to(_device(module)))
            parts.append(_inputs(module, dense, batch).cpu())
    return torch.cat(parts)


def falls(module: nn.Module, layer: TrapLayer, x: NDArray[Any], y: Int, rows: Sequence[int]) -> Tensor:
    """Which way training on each record (x, y) moves the output of its row: [n], -1 down, +1 up.

    The sign of minus the derivative of the cross-entropy by the row's output.
    """
    caught: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        caught.append(output.detach().requires_grad_())
        return caught[0]

    module.eval()
    handle = module.get_submodule(layer.name).register_forward_hook(keep)
    try:
        logits = module(normalised(torch.from_numpy(x).to(_device(module))))
        labels = torch.from_numpy(y).to(logits.device)
        (slope,) = torch.autograd.grad(cross_entropy(logits, labels, reduction="sum"), caught[0])
    finally:
        handle.remove()
    own = slope[torch.arange(len(x)), torch.as_tensor(list(rows))]
    return -torch.sign(own).cpu().double()


def _dense(module: nn.Module, batch: Tensor) -> list[tuple[str, nn.Linear]]:
    """Dense layers that read one vector a record, in the order in which they are used."""
    names = {layer: name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    used: list[tuple[str, nn.Linear]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        if given[0].dim() == 2 and isinstance(layer, nn.Linear):
            used.append((names[layer], layer))

    handles = [layer.register_forward_pre_hook(note) for layer in names]
    module.eval()
    module(batch[:2])
    for handle in handles:
        handle.remove()
    return used


def dead_below_zero(module: nn.Module, layer: nn.Linear, batch: Tensor) -> bool:
    """Whether what follows the layer is the same for outputs of -1 and of -3, and not for 1 and 3."""

    def told(value: float) -> Tensor:
        return _hooked(module, layer, batch[:8], lambda output: torch.full_like(output, value))

    return bool(torch.equal(told(-1.0), told(-3.0)) and not torch.equal(told(1.0), told(3.0)))


def _hooked(module: nn.Module, layer: nn.Module, batch: Tensor, changed: Callable[[Tensor], Tensor]) -> Tensor:
    """The module's answer where the output of ``layer`` is changed on its way."""
    module.eval()
    handle = layer.register_forward_hook(lambda _, __, output: changed(output))
    try:
        answer: Tensor = module(batch)
        return answer
    finally:
        handle.remove()


def _reads(module: nn.Module, head: nn.Module | None, layer: nn.Linear, batch: Tensor) -> bool:
    """Whether the module's last layer reads the layer's output behind a ReLU and nothing else."""
    if not isinstance(head, nn.Linear) or head.in_features != layer.out_features:
        return False
    told = layer(_inputs(module, layer, batch)).relu()
    return bool(torch.allclose(_inputs(module, head, batch), told, rtol=1e-4, atol=1e-6))


def _inputs(module: nn.Module, layer: nn.Module, batch: Tensor, training: bool = False) -> Tensor:
    caught: list[Tensor] = []
    module.train(training)
    handle = layer.register_forward_pre_hook(lambda _, given: caught.append(given[0].detach()))
    try:
        module(batch)
    finally:
        handle.remove()
        module.eval()
    return caught[0]


def _dropout(module: nn.Module, layer: nn.Module, batch: Tensor) -> float:
    """Share of the layer's inputs that training leaves out; 0 where the module has no dropout."""
    if not any(isinstance(part, nn.Dropout) and part.p > 0 for part in module.modules()):
        return 0.0
    with seeds.torch_scope(0, "dropout of a layer's inputs"):
        dropped = _inputs(module, layer, batch, training=True)
    some = _inputs(module, layer, batch) != 0
    return round(float((dropped[some] == 0).double().mean()), 2)


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
