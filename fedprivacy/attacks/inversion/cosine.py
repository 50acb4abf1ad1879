"""Cosine matching with total variation, by Adam on the sign of the derivative.

Geiping, Bauermeister, Droege, Moeller, "Inverting Gradients - How easy is it to break privacy in federated
learning?" (2020). Direction alone is matched, so it also works where the scale is unknown and on networks with ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.gradients import GradientMap, Layout, gradient_map, matched, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge, as_gradient
from fedprivacy.attacks.inversion.matching import cosine as cosine_distance
from fedprivacy.attacks.inversion.matching import total_variation
from fedprivacy.attacks.inversion.reconstruction import Reconstruction, choose
from fedprivacy.attacks.inversion.told import WHOLE, Told, held_against, told
from fedprivacy.attacks.inversion.variables import Penalty, PixelVariables


@dataclass(frozen=True)
class CosineSettings:
    """``tv``: the declared grid of weights of the total variation; every one runs with every restart.

    ``steps`` divides the learning rate by 10 at 3/8, 5/8 and 7/8 of ``iterations``; with ``lr=0.1`` that is the
    published schedule. ``linear`` keeps it for 1/8, then falls from 0.15 of it to zero: a signed step cannot come
    closer than its own size, so most of the time is better spent on small ones. A problem stops early when, in the
    last quarter, ``window`` iterations improve its objective by less than ``tolerance`` of itself.
    """

    iterations: int = 400
    tv: tuple[float, ...] = (0.1,)
    restarts: int = 1
    lr: float = 0.5
    schedule: Literal["linear", "steps"] = "linear"
    window: int = 50
    tolerance: float = 0.01
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    def rate(self, done: float) -> float:
        """Learning rate when the share ``done`` of the iterations, or of the time, is over."""
        if self.schedule == "steps":
            return float(self.lr * 0.1 ** sum(8 * done >= eighths for eighths in (3, 5, 7)))
        return self.lr if 8 * done < 1 else 0.15 * self.lr * (1 - done) * 8 / 7


PUBLISHED = CosineSettings(iterations=1000, lr=0.1, schedule="steps")


def cosine(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Sequence[Mapping[str, Tensor]],
    knowledge: Knowledge,
    labels: Tensor,
    generator: torch.Generator,
    settings: CosineSettings = CosineSettings(),
    clock: Clock = UNLIMITED,
) -> Reconstruction:
    """Reconstruct the records behind each of the T ``observed`` messages; ``labels`` [T, B].

    Loss: the cosine distance without the total variation, by which restart and weight are chosen too. Raises
    UsageError for updates of several steps.
    """
    like = torch.zeros(1, dtype=settings.dtype, device=settings.device)
    gradients = Layout.of(model).flat_all([as_gradient(message, knowledge) for message in observed], like)
    problem = gradient_map(model, parameters, knowledge, like)
    seen = told(knowledge, Layout.of(model), gradients)
    return descend(problem, gradients, knowledge, labels, generator, settings, clock=clock, seen=seen)


class Adam:
    """Adam's moments of every problem; ``of`` gives the step at rate 1."""

    def __init__(self, x: Tensor) -> None:
        self.first, self.second, self.steps = torch.zeros_like(x), torch.zeros_like(x), 0

    def of(self, slope: Tensor) -> Tensor:
        self.steps += 1
        self.first.lerp_(slope, 0.1)
        self.second.mul_(0.999).addcmul_(slope, slope, value=0.001)
        return self.first / (1 - 0.9**self.steps) / ((self.second / (1 - 0.999**self.steps)).sqrt_() + 1e-8)

    def keep(self, rows: Tensor) -> None:
        self.first, self.second = self.first[rows], self.second[rows]


def descend(
    problem: GradientMap,
    observed: Tensor,
    knowledge: Knowledge,
    labels: Tensor,
    generator: torch.Generator,
    settings: CosineSettings,
    penalty: Penalty | None = None,
    clock: Clock = UNLIMITED,
    first: Tensor | None = None,
    seen: Told = WHOLE,
) -> Reconstruction:
    """Minimise cosine distance to ``observed`` [T, n], total variation and ``penalty``, inside the box of inputs.

    ``first`` [T, B, C, H, W], in pixels: where to begin, in the place of noise. ``seen``: what is told of the observed.

    A ``clock`` that runs out earlier than the iterations brings the schedule of the learning rate forward.
    """
    tries = settings.restarts * len(settings.tv)
    apart = held_against(cosine_distance, observed.repeat_interleave(tries, 0), seen.repeated(tries))
    shape = (settings.restarts, knowledge.records, *knowledge.input_shape)
    start = PixelVariables(observed).start(shape, generator)
    x = start.repeat_interleave(len(settings.tv), 0).repeat(len(observed), 1, 1, 1, 1)
    if first is not None:
        x = knowledge.to_input(first.to(observed)).repeat_interleave(tries, 0)
    weight = torch.tensor(settings.tv).to(observed).repeat(len(x) // len(settings.tv))
    distribution = one_hot(labels.to(observed.device), knowledge.classes, observed.dtype).repeat_interleave(tries, 0)
    low, high = (knowledge.to_input(torch.full_like(x[0, 0], edge)) for edge in (0.0, 1.0))
    every = distribution
    problems = torch.arange(len(x), device=x.device)
    best_x, best = x.clone(), x.new_full((len(x),), torch.inf)
    failed, evaluations = torch.zeros_like(problems, dtype=torch.bool), 0
    lowest = best.clone()
    mark, adam = lowest.clone(), Adam(x)
    for iteration in range(settings.iterations):
        done = max(iteration / settings.iterations, clock.spent())
        if iteration and done >= 1:
            break
        distance, slope, _ = matched(problem, x, distribution, problems, apart)
        variation, variation_slope = total_variation(x)
        slope = slope + weight[:, None, None, None, None] * variation_slope
        objective = distance + weight * variation
        if penalty is not None:
            extra, extra_slope = penalty(x)
            slope, objective = slope + extra_slope, objective + extra
        evaluations += len(x)
        finite = distance.isfinite() & slope.flatten(1).isfinite().all(1)
        better = finite & (distance < best[problems])
        best[problems[better]], best_x[problems[better]] = distance[better], x[better]
        lowest = torch.minimum(lowest, torch.where(finite, objective, lowest))
        going = finite
        if (iteration + 1) % settings.window == 0:
            settled = lowest > mark * (1 - settings.tolerance)
            going = finite & ~settled if 4 * done >= 3 else finite
            mark = lowest.clone()
        if not going.all():
            failed[problems] = ~finite
            rows = torch.nonzero(going).squeeze(1)
            if not len(rows):
                break
            problems, x, slope, weight = problems[rows], x[rows], slope[rows], weight[rows]
            distribution, lowest, mark = distribution[rows], lowest[rows], mark[rows]
            adam.keep(rows)
        x = torch.clamp(x - settings.rate(done) * adam.of(slope.sign()), low, high)
    return choose(knowledge.to_pixels(best_x), every, best, failed, tries, evaluations)
