"""Inversion with a public prior: first among pictures that public records allow, then pixel by pixel from there.

The prior is the linear decoder that loses least of the adversary's own records: their mean and leading principal
components, which is what a linear autoencoder of that width learns (Baldi and Hornik 1989), with coefficients of unit
variance. Compare Jeon, Kim, Lee, Oh, Ok, "Gradient Inversion with Generative Image Prior" (2021), who search the latent
space of a generator and refine what it gives.
A prior makes pictures of anything, so what comes out is worth what it is better than the same attack on another
client's message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.cosine import Adam, CosineSettings, descend
from fedprivacy.attacks.inversion.gradients import (
    GradientMap,
    Layout,
    frozen_copy,
    gradient_map,
    matched,
    one_hot,
)
from fedprivacy.attacks.inversion.guess import class_means
from fedprivacy.attacks.inversion.knowledge import Knowledge
from fedprivacy.attacks.inversion.label_recovery import Public
from fedprivacy.attacks.inversion.matching import cosine as cosine_distance
from fedprivacy.attacks.inversion.reconstruction import Reconstruction, choose
from fedprivacy.attacks.inversion.told import Told, held_against, told
from fedprivacy.attacks.inversion.unroll import SOFT, UpdateMap


@dataclass(frozen=True)
class PriorSettings:
    """``width`` coefficients a picture; ``share`` of ``refine.iterations`` is spent on them, from ``restarts`` starts.

    ``weight`` of the coefficients' mean square (their negative log-density) beside the cosine distance; ``box`` of the
    mean squared distance to valid pixels.
    """

    width: int = 64
    share: float = 0.5
    lr: float = 0.1
    restarts: int = 2
    weight: float = 1e-3
    box: float = 0.3
    refine: CosineSettings = field(default_factory=CosineSettings)


class LinearPrior:
    """Pictures as ``mean + coefficients @ basis``, from ``pixels`` [n, C, H, W] in [0, 1]."""

    def __init__(self, pixels: Tensor, width: int) -> None:
        flat = pixels.flatten(1)
        self.shape, self.mean = pixels.shape[1:], flat.mean(0)
        _, sizes, rows = torch.linalg.svd(flat - self.mean, full_matrices=False)
        kept = min(width, max(1, int((sizes > 1e-6 * sizes[0]).sum())))
        self.basis = rows[:kept] * sizes[:kept, None] / len(flat) ** 0.5

    def pictures(self, u: Tensor) -> Tensor:
        """Coefficients [..., width] as pixels [..., C, H, W]."""
        found: Tensor = (self.mean + u @ self.basis).unflatten(-1, self.shape)
        return found

    def coefficients(self, pixels: Tensor) -> Tensor:
        """The nearest coefficients [..., width] of pixels [..., C, H, W]."""
        flat = pixels.flatten(-3) - self.mean
        found: Tensor = flat @ self.basis.T / self.basis.square().sum(1)
        return found

    def adjoint(self, slope: Tensor) -> Tensor:
        """A derivative by pixels as one by coefficients."""
        found: Tensor = slope.flatten(-3) @ self.basis.T
        return found


def prior(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Sequence[Mapping[str, Tensor]],
    knowledge: Knowledge,
    labels: Tensor,
    public: Public,
    generator: torch.Generator,
    settings: PriorSettings = PriorSettings(),
    clock: Clock = UNLIMITED,
) -> Reconstruction:
    """Reconstruct the records behind each of the T ``observed`` messages, whose ``labels`` [T, B] are known.

    ``public`` records, pixels and labels, are all that the prior is made of. Loss: cosine distance of the simulated
    message.
    """
    like = torch.zeros(1, dtype=settings.refine.dtype, device=settings.refine.device)
    pixels, marks = public[0].to(like), public[1]
    decoder = LinearPrior(pixels, settings.width)
    twin = frozen_copy(model, parameters, knowledge, like)
    problem: GradientMap = gradient_map(model, parameters, knowledge, like)
    wanted = Layout.of(model).flat_all(observed, like)
    if knowledge.shared == "update":
        wanted = -wanted
        if knowledge.lr is not None:
            problem = UpdateMap(twin, knowledge, soft=SOFT)
    centres = decoder.coefficients(class_means((pixels, marks), knowledge.classes))[labels.to(like.device)]
    iterations = max(1, round(settings.share * settings.refine.iterations))
    seen = told(knowledge, Layout.of(model), wanted)
    first = _latent(problem, wanted, seen, knowledge, labels, decoder, centres, generator, settings, iterations, clock)
    rest = replace(settings.refine, iterations=max(1, settings.refine.iterations - iterations), lr=0.05)
    second = descend(problem, wanted, knowledge, labels, generator, rest, None, clock, first.images, seen)
    return _nearer(first, second)


def _nearer(first: Reconstruction, second: Reconstruction) -> Reconstruction:
    every = torch.arange(len(first.loss), device=first.loss.device)
    return first.improved(every, second)


def _latent(
    problem: GradientMap,
    wanted: Tensor,
    seen: Told,
    knowledge: Knowledge,
    labels: Tensor,
    decoder: LinearPrior,
    centres: Tensor,
    generator: torch.Generator,
    settings: PriorSettings,
    iterations: int,
    clock: Clock,
) -> Reconstruction:
    """Coefficients of lowest cosine distance to ``wanted`` [T, n], by Adam from near the class means."""
    tries, targets = settings.restarts, len(wanted)
    noise = torch.randn((tries, *centres.shape[1:]), generator=generator, dtype=torch.float64).to(wanted)
    u = centres.repeat_interleave(tries, 0) + 0.5 * noise.repeat(targets, 1, 1)
    apart = held_against(cosine_distance, wanted.repeat_interleave(tries, 0), seen.repeated(tries))
    every = torch.arange(len(u), device=u.device)
    known = one_hot(labels.to(wanted.device), knowledge.classes, wanted.dtype).repeat_interleave(tries, 0)
    adam, best, best_u = Adam(u), u.new_full((len(u),), torch.inf), u.clone()
    scale = knowledge.statistics(u)[1]
    alive = torch.ones(len(u), dtype=torch.bool, device=u.device)
    for iteration in range(iterations):
        done = max(iteration / iterations, clock.spent() / max(settings.share, 1e-9))
        if iteration and done >= 1:
            break
        pictures = decoder.pictures(u)
        value, slope, _ = matched(problem, knowledge.to_input(pictures), known, every, apart)
        outside = pictures - pictures.clamp(0, 1)
        size = outside[0].numel()
        slope = slope / scale + settings.box * 2 / size * outside
        slope = decoder.adjoint(slope) + settings.weight * 2 / u[0].numel() * u
        alive &= value.isfinite() & slope.flatten(1).isfinite().all(1)
        better = alive & (value < best)
        best[better], best_u[better] = value[better], u[better]
        slope = torch.where(alive[:, None, None], slope, torch.zeros_like(slope))
        u = u - settings.lr * (1 - done) * adam.of(slope)
    images = decoder.pictures(best_u).clamp(0, 1)
    return choose(images, known, best, ~alive & best.isinf(), tries, iterations * len(u))
