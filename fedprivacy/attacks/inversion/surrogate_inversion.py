"""Model inversion: the image that a model takes most surely for a class.

Fredrikson, Jha, Ristenpart, "Model Inversion Attacks that Exploit Confidence Information and Basic Countermeasures"
(2015), with total variation. The model is a surrogate distilled from shared predictions, or weights that were
received. What comes out stands for a class, not for a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.matching import total_variation


@dataclass(frozen=True)
class ClassInversionSettings:
    """Objective ``-logp_t(x) + tv TV(x) + power mean(x^2)``, by Adam at rate ``lr``, cut to the box each step."""

    iterations: int = 300
    restarts: int = 8
    lr: float = 0.1
    tv: float = 0.1
    power: float = 0.01


@dataclass(frozen=True, eq=False)
class ClassImages:
    """``images`` [classes asked for, C, H, W] in pixel scale; ``objective`` [...] of each, lower is better.

    ``failed`` [...]: restarts that met a value that is not finite; an image none of whose restarts survived is NaN.
    """

    images: Tensor
    objective: Tensor
    failed: Tensor


def class_images(
    model: nn.Module,
    knowledge: Knowledge,
    classes: Sequence[int],
    generator: torch.Generator,
    settings: ClassInversionSettings = ClassInversionSettings(),
    clock: Clock = UNLIMITED,
) -> ClassImages:
    """One image a class of ``classes``, from ``model`` as it stands (evaluation mode, its own dtype and device).

    All classes and restarts run as one batch, each with its own Adam moments; the restart of lowest objective is
    returned. No step after the first is begun once ``clock`` is over.
    """
    like = next(model.parameters()).detach()
    wanted = torch.tensor(list(classes), device=like.device).repeat_interleave(settings.restarts)
    start = torch.rand((settings.restarts, *knowledge.input_shape), generator=generator, dtype=torch.float64)
    x = knowledge.to_input(start.to(like)).repeat(len(classes), 1, 1, 1)
    low, high = (knowledge.to_input(torch.full_like(x[0], edge)) for edge in (0.0, 1.0))
    training = model.training
    model.eval()
    try:
        best, best_x = _descended(model, x, wanted, low, high, settings, clock)
    finally:
        model.train(training)
    objective, choice = best.unflatten(0, (-1, settings.restarts)).min(1)
    rows = torch.arange(len(classes), device=x.device) * settings.restarts + choice
    images = knowledge.to_pixels(best_x[rows])
    images[objective.isinf()] = torch.nan
    failed = best.isinf().unflatten(0, (-1, settings.restarts)).sum(1)
    return ClassImages(images, torch.where(objective.isinf(), torch.nan, objective), failed)


def _descended(
    model: nn.Module,
    x: Tensor,
    wanted: Tensor,
    low: Tensor,
    high: Tensor,
    settings: ClassInversionSettings,
    clock: Clock,
) -> tuple[Tensor, Tensor]:
    """Lowest objective [N] of each start and where it was; infinite once a value was not finite."""
    best, best_x = x.new_full((len(x),), torch.inf), x.clone()
    alive = torch.ones_like(wanted, dtype=torch.bool)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, settings.iterations + 1):
        if step > 1 and clock.over:
            break
        point = x.clone().requires_grad_()
        logits = model(point)
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        surprise = -torch.log_softmax(logits, 1).gather(1, wanted[:, None]).squeeze(1)
        (slope,) = torch.autograd.grad(surprise.sum(), point)
        variation, variation_slope = total_variation(x)
        power = x.square().flatten(1)
        objective = surprise.detach() + settings.tv * variation + settings.power * power.mean(1)
        slope = slope + settings.tv * variation_slope + settings.power * 2 * x / power.shape[1]
        alive &= objective.isfinite() & slope.flatten(1).isfinite().all(1)
        better = alive & (objective < best)
        best[better], best_x[better] = objective[better], x[better]
        slope = torch.where(alive[:, None, None, None], slope, torch.zeros_like(slope))
        first.lerp_(slope, 0.1)
        second.mul_(0.999).addcmul_(slope, slope, value=0.001)
        move = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt_() + 1e-8)
        x = torch.clamp(x - settings.lr * move, low, high)
    return torch.where(alive, best, torch.full_like(best, torch.inf)), best_x
