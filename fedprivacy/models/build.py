"""From a name and the shape of the records to a module with named initial weights."""

from __future__ import annotations

from typing import Literal

from torch import nn

from fedprivacy import parts, seeds
from fedprivacy.config.base import UsageError
from fedprivacy.models import names, outside, own_head
from fedprivacy.models.cnn import Cnn
from fedprivacy.models.gupta_cnn import GuptaCnn
from fedprivacy.models.lenet_sigmoid import LenetSigmoid
from fedprivacy.models.mlp import Mlp, SmallMlp
from fedprivacy.models.resnet18 import Resnet18

Output = Literal["softmax", "sigmoid"]


_KINDS: dict[str, type[Mlp | Cnn | GuptaCnn | LenetSigmoid | Resnet18]] = {
    "mlp": Mlp,
    "mlp-small": SmallMlp,
    "cnn": Cnn,
    "gupta-cnn": GuptaCnn,
    "lenet-sigmoid": LenetSigmoid,
    "resnet18": Resnet18,
}


def build(
    name: str, shape: tuple[int, ...], classes: int, output: Output, root: int, *seed_name: seeds.Name
) -> nn.Module:
    """A new module ``name``, a :class:`~fedprivacy.models.contract.Classifier`, in float32 on the CPU.

    ``shape`` is that of one record, [channels, height, width] or [d]. ``sigmoid`` gives one output, the log-odds of
    class 1, and needs two classes. The initial weights depend on ``root`` and ``seed_name`` alone, and torch's
    global stream is left as it was. Raises UsageError for an unknown name or records that the model cannot read.
    A model may come from outside the package (:mod:`fedprivacy.models.outside`), and a name may ask for a head of some
    classes alone (:mod:`fedprivacy.models.own_head`).
    """
    architecture, own = own_head.split(name)
    if own:
        narrow = build(architecture, shape, len(own), output, root, *seed_name)
        return own_head.with_own_head(narrow, architecture, own, classes)
    if names.from_outside(name):
        part, outputs = parts.load("model", name), _outputs(classes, output)
        with seeds.torch_scope(root, *seed_name):
            return outside.made(part, name, shape, outputs)
    kind = _KINDS[name]
    _check_records(name, shape, kind.smallest_side)
    outputs = _outputs(classes, output)
    with seeds.torch_scope(root, *seed_name):
        return kind(shape, outputs)


def _check_records(name: str, shape: tuple[int, ...], smallest: int | None) -> None:
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise UsageError(
            f"Records of shape {list(shape)} are neither images [channels, height, width] nor rows of features [d]."
        )
    if smallest is None:
        return
    if len(shape) == 1:
        raise UsageError(
            f"Model '{name}' reads images, and these records are rows of {shape[0]} features; "
            "use training.model = 'mlp'."
        )
    _, height, width = shape
    if min(height, width) < smallest:
        raise UsageError(
            f"Model '{name}' needs images of at least {smallest}x{smallest} pixels, and these are "
            f"{height}x{width}; {_alternative(min(height, width))}."
        )


def _alternative(side: int) -> str:
    fitting = [name for name, kind in _KINDS.items() if (kind.smallest_side or 0) <= side]
    return f"use {' or '.join(fitting)}, or a larger data.image_size"


def _outputs(classes: int, output: Output) -> int:
    if classes < 2:
        raise UsageError(f"The records have {classes} class; a classifier needs at least two.")
    if output == "softmax":
        return classes
    if output != "sigmoid":
        raise UsageError(f"training.output: no output '{output}' exists; it is softmax or sigmoid.")
    if classes != 2:
        raise UsageError(
            f"training.output = 'sigmoid' is one number for two classes, and these records have {classes}; "
            "use 'softmax'."
        )
    return 1
