"""What the last layer says of a direction, where it reads the ReLU's outputs: whether it is one record's.

A record's derivative by the output of the first layer is then ``V^T (p - t)`` at the rows that it activates and zero at
the others, with V [classes, m] the last layer: on its own support it lies in V's row space of a few dimensions, known
to whoever sent the model. A direction that mixes records does not, since their supports differ. SPEAR goes by sparsity
alone, and photographs have many sparser mixtures: rows that all of them activate cancel out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.exact.slopes import slopes_by
from fedprivacy.attacks.inversion.gradients import one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.label_recovery import last_layer

PROBES, FOLLOWS = 8, 1e-6


def head_behind(twin: nn.Module, name: str, state: Mapping[str, Tensor], knowledge: Knowledge) -> Tensor | None:
    """The last layer [m, classes] of ``twin``, a float64 copy; None where more than a ReLU lies between it and the
    layer ``name``, as probes tell."""
    weight = state[last_layer(twin)[0]].double()
    layer = twin.get_submodule(name)
    if not isinstance(layer, nn.Linear) or weight.shape[1] != layer.out_features or len(weight) == weight.shape[1]:
        return None
    steps = torch.linspace(0.1, 0.9, PROBES, dtype=torch.float64)
    pattern = torch.linspace(-1, 1, knowledge.to_input(torch.zeros(knowledge.input_shape)).numel()).double().cos()
    pixels = (steps[:, None] * (1 + pattern) / 2).view(PROBES, *knowledge.input_shape)
    targets = one_hot(torch.arange(PROBES) % knowledge.classes, knowledge.classes, torch.float64)
    slopes = slopes_by(twin, name, knowledge.to_input(pixels), targets)
    found = (weight - weight.mean(0)).T if len(weight) > 1 else weight.T
    return found if bool((astray(found, slopes, slopes == 0) < FOLLOWS).all()) else None


def astray(head: Tensor, slopes: Tensor, zero: Tensor) -> Tensor:
    """Share [k] of derivatives ``slopes`` [k, m], zero at the rows ``zero`` [k, m], that no record could have left
    behind which ``head`` [m, classes] lies: the part outside its columns, 0 for one record and near 1 for chance."""
    own, support = torch.where(zero, 0.0, slopes), (~zero).to(slopes)
    own = own / torch.linalg.vector_norm(own, dim=1, keepdim=True).clamp_min(1e-300)
    gram = (support @ (head[:, :, None] * head[:, None, :]).flatten(1)).unflatten(1, (head.shape[1], -1))
    least = 1e-10 * gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-300)
    gram = gram + least[:, None, None] * torch.eye(head.shape[1], dtype=head.dtype)
    shares, _ = torch.linalg.solve_ex(gram, own @ head)
    rest: Tensor = torch.linalg.vector_norm(own - support * (shares @ head.T), dim=1)
    return rest
