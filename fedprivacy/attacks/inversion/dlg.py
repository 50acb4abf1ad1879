"""Deep leakage from gradients: find records whose gradient is the observed one, by L-BFGS.

DLG: Zhu, Liu, Han, "Deep Leakage from Gradients" (2019), labels found together with the records. iDLG: Zhao, Mopuri,
Bilen, "iDLG: Improved Deep Leakage from Gradients" (2020), labels known beforehand. Both need smooth activations.
``float64`` matters: the objective falls by ten orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.gradients import GradientMap, Layout, gradient_map, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge, as_gradient
from fedprivacy.attacks.inversion.lbfgs import minimise
from fedprivacy.attacks.inversion.matching import squared_l2
from fedprivacy.attacks.inversion.reconstruction import Reconstruction, choose
from fedprivacy.attacks.inversion.variables import Penalty, Space, variables_of
from fedprivacy.config.base import UsageError


@dataclass(frozen=True)
class DlgSettings:
    """``outer`` x ``inner`` evaluations of every problem; ``stop_below`` relative to the observed squared norm.

    ``space="pixels"`` with 100 outer steps is the published attack.
    """

    outer: int = 20
    inner: int = 20
    history: int = 100
    restarts: int = 1
    space: Space = "spectrum"
    stop_below: float = 1e-20
    dtype: torch.dtype = torch.float64
    device: str = "cpu"


def dlg(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Sequence[Mapping[str, Tensor]],
    knowledge: Knowledge,
    labels: Tensor | None,
    generator: torch.Generator,
    settings: DlgSettings = DlgSettings(),
) -> Reconstruction:
    """Reconstruct the records behind each of the T ``observed`` messages, all sent at the weights ``parameters``.

    ``labels`` [T, B] makes it iDLG; None makes it DLG, which finds label distributions too. Loss: squared L2 distance
    of the gradients over the observed squared norm. Raises UsageError for updates of several steps or of unknown
    scale.
    """
    if knowledge.shared == "update" and knowledge.lr is None:
        raise UsageError(
            "inversion: 'dlg' needs the scale of the gradient; with the learning rate unknown use 'cosine'."
        )
    like = torch.zeros(1, dtype=settings.dtype, device=settings.device)
    gradients = Layout.of(model).flat_all([as_gradient(message, knowledge) for message in observed], like)
    return match(gradient_map(model, parameters, knowledge, like), gradients, knowledge, labels, generator, settings)


def match(
    problem: GradientMap,
    observed: Tensor,
    knowledge: Knowledge,
    labels: Tensor | None,
    generator: torch.Generator,
    settings: DlgSettings,
    penalty: Penalty | None = None,
) -> Reconstruction:
    """Minimise the squared distance of ``problem`` to ``observed`` [T, n] over records (and labels, if None).

    ``penalty`` of the inputs is added, in units of the observed squared norm.
    """
    restarts, targets = settings.restarts, observed.shape[0]
    shape, classes = (knowledge.records, *knowledge.input_shape), knowledge.classes
    variables = variables_of(settings.space, knowledge, observed)
    start = variables.start((restarts, *shape), generator).repeat(targets, 1, 1, 1, 1)
    size, wanted = start[0].numel(), observed.repeat_interleave(restarts, 0)
    norm = torch.linalg.vecdot(wanted, wanted)
    fixed: Tensor | None = None
    flat = start.flatten(1)
    if labels is None:
        draw = torch.randn(restarts, shape[0] * classes, generator=generator, dtype=torch.float64)
        flat = torch.cat([flat, draw.to(flat).repeat(targets, 1)], 1)
    else:
        known = one_hot(labels.to(observed.device), classes, observed.dtype)
        fixed = known.repeat_interleave(restarts, 0)

    def targets_at(x: Tensor, rows: Tensor) -> Tensor:
        if fixed is not None:
            return fixed[rows]
        return torch.softmax(x[:, size:].unflatten(1, (shape[0], classes)), 2)

    def evaluate(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        distribution = targets_at(x, rows)
        inputs = variables.inputs(x[:, :size].unflatten(1, shape))
        simulated = problem.gradients(inputs, distribution)
        value, direction = squared_l2(simulated, wanted[rows])
        slope, label_slope = problem.pullback(direction)
        if penalty is not None:
            extra, extra_slope = penalty(inputs)
            value = value + norm[rows] * extra
            slope = slope + norm[rows].view(-1, 1, 1, 1, 1) * extra_slope
        parts = [variables.adjoint(slope).flatten(1)]
        if fixed is None:
            centred = label_slope - (distribution * label_slope).sum(2, keepdim=True)
            parts.append((distribution * centred).flatten(1))
        return value, torch.cat(parts, 1)

    found = minimise(
        evaluate,
        flat,
        settings.outer * settings.inner,
        settings.history,
        stop_below=settings.stop_below * norm,
    )
    images = knowledge.to_pixels(variables.inputs(found.x[:, :size].unflatten(1, shape)))
    every = torch.arange(len(flat), device=flat.device)
    return choose(images, targets_at(found.x, every), found.value / norm, found.failed, restarts, found.evaluations)
