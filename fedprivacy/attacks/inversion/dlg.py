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

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.gradients import GradientMap, Layout, gradient_map, matched, one_hot
from fedprivacy.attacks.inversion.knowledge import Knowledge, as_gradient
from fedprivacy.attacks.inversion.lbfgs import minimise
from fedprivacy.attacks.inversion.matching import squared_l2
from fedprivacy.attacks.inversion.reconstruction import Reconstruction, choose
from fedprivacy.attacks.inversion.told import WHOLE, Told, held_against, told
from fedprivacy.attacks.inversion.variables import Penalty, Space, Variables, variables_of
from fedprivacy.config.base import UsageError


@dataclass(frozen=True)
class DlgSettings:
    """``outer`` x ``inner`` evaluations of every problem; losses are relative to the observed squared norm.

    A problem stops below ``stop_below``. The first share ``rough`` of its evaluations, down to a loss of ``FINE``, is
    made in float32: a direction need not be exact to descend, and half the work is saved. Targets whose loss stays
    above ``unsolved`` get ``retries`` more rounds, from other starts. A memory that forgets nothing needs a third fewer
    evaluations than one of 100 pairs. ``PUBLISHED_DLG`` are the settings of the papers.
    """

    outer: int = 13
    inner: int = 20
    history: int = 300
    restarts: int = 1
    space: Space = "spectrum"
    rough: float = 0.75
    stop_below: float = 1e-20
    unsolved: float = 1e-3
    retries: int = 1
    dtype: torch.dtype = torch.float64
    device: str = "cpu"


FINE = 1e-10
"""Loss below which rounding of float32 would be felt."""
PUBLISHED_DLG = DlgSettings(outer=100, history=100, space="pixels", rough=0.0, retries=0)


def dlg(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Sequence[Mapping[str, Tensor]],
    knowledge: Knowledge,
    labels: Tensor | None,
    generator: torch.Generator,
    settings: DlgSettings = DlgSettings(),
    clock: Clock = UNLIMITED,
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
    problem = gradient_map(model, parameters, knowledge, like)
    rough = gradient_map(model, parameters, knowledge, like.float()) if settings.rough else None
    seen = told(knowledge, Layout.of(model), gradients)
    return match(problem, gradients, knowledge, labels, generator, settings, None, clock, seen, rough)


def match(
    problem: GradientMap,
    observed: Tensor,
    knowledge: Knowledge,
    labels: Tensor | None,
    generator: torch.Generator,
    settings: DlgSettings,
    penalty: Penalty | None = None,
    clock: Clock = UNLIMITED,
    seen: Told = WHOLE,
    rough: GradientMap | None = None,
) -> Reconstruction:
    """Minimise the squared distance of ``problem`` to ``observed`` [T, n] over records (and labels, if None).

    ``penalty`` of the inputs is added, in units of the observed squared norm. ``seen``: what is told of the observed;
    ``rough``: the problem in float32.
    """
    shape, restarts = (knowledge.records, *knowledge.input_shape), settings.restarts
    variables = variables_of(settings.space, knowledge, observed)
    rounds = 1 + settings.retries
    starts = variables.start((rounds * restarts, *shape), generator).unflatten(0, (rounds, restarts))
    draw = torch.randn(rounds, restarts, knowledge.records, knowledge.classes, generator=generator, dtype=torch.float64)
    known = None if labels is None else one_hot(labels.to(observed.device), knowledge.classes, observed.dtype)
    found: Reconstruction | None = None
    for start, label_start in zip(starts, draw.to(observed), strict=True):
        rows = torch.arange(len(observed), device=observed.device)
        if found is not None:
            rows = torch.nonzero(~(found.loss <= settings.unsolved)).squeeze(1)
        if not len(rows) or (found is not None and clock.over):
            break
        of_rows = None if known is None else known[rows]
        part = _Matching(problem, variables, observed[rows], of_rows, penalty, seen.chosen(rows), rough)
        again = part.solve(start, label_start, knowledge, settings, clock)
        found = again if found is None else found.improved(rows, again)
    assert found is not None
    return found


def _each(weight: Tensor, values: Tensor) -> Tensor:
    """``weight`` [A] for each of ``values`` [A, ...]."""
    return weight.view(-1, *[1] * (values.ndim - 1))


class _Matching:
    """The problems of T targets and their restarts: variables to values, and back to images.

    Small messages, such as clipped ones, are weighed up to norm 1: below it curvature would be taken for rounding.
    """

    def __init__(
        self,
        problem: GradientMap,
        variables: Variables,
        observed: Tensor,
        known: Tensor | None,
        penalty: Penalty | None,
        seen: Told,
        rough: GradientMap | None,
    ) -> None:
        self.problem, self.variables, self.penalty = problem, variables, penalty
        self.observed, self.known, self.seen, self.rough = observed, known, seen, rough

    def solve(
        self, start: Tensor, label_start: Tensor, knowledge: Knowledge, settings: DlgSettings, clock: Clock
    ) -> Reconstruction:
        """From ``start`` [restarts, B, C, H, W] and label logits [restarts, B, classes], the same for each target."""
        targets, restarts = len(self.observed), len(start)
        self.shape, self.size, self.classes = start.shape[1:], start[0].numel(), label_start.shape[2]
        wanted = self.observed.repeat_interleave(restarts, 0)
        self.fixed = None if self.known is None else self.known.repeat_interleave(restarts, 0)
        self.norm = torch.linalg.vecdot(wanted, wanted)
        self.weight = (1 / self.norm.clamp_min(torch.finfo(wanted.dtype).tiny)).clamp_min(1.0)
        seen = self.seen.repeated(restarts)
        self.apart = held_against(squared_l2, wanted, seen)
        self.apart_roughly = held_against(squared_l2, wanted.float(), seen)
        flat = start.flatten(1) if self.known is not None else torch.cat([start.flatten(1), label_start.flatten(1)], 1)
        below = settings.stop_below * self.norm * self.weight
        evaluations = settings.outer * settings.inner
        roughly = 0 if self.rough is None else round(settings.rough * evaluations)
        self.roughly = torch.full((len(wanted),), roughly, device=wanted.device)
        found = minimise(
            self.evaluate, flat.repeat(targets, 1), evaluations, settings.history, 1.0, below, torch.float32, clock
        )
        every = torch.arange(targets * restarts, device=flat.device)
        images = knowledge.to_pixels(self.variables.inputs(self._records(found.x)))
        loss = found.value / self.norm / self.weight
        return choose(images, self._targets(found.x, every), loss, found.failed, restarts, found.evaluations)

    def evaluate(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Objective [A] and its derivative [A, D] for the problems ``rows``."""
        distribution, inputs = self._targets(x, rows), self.variables.inputs(self._records(x))
        value, slope, label_slope = self._matched(inputs, distribution, rows)
        weight = self.weight[rows]
        value, slope, label_slope = (
            value * weight,
            slope * _each(weight, slope),
            label_slope * _each(weight, label_slope),
        )
        if self.penalty is not None:
            extra, extra_slope = self.penalty(inputs)
            weight = self.norm[rows] * weight
            value, slope = value + weight * extra, slope + _each(weight, slope) * extra_slope
        image_slope = self.variables.adjoint(slope).flatten(1)
        if self.fixed is not None:
            return value, image_slope
        centred = label_slope - (distribution * label_slope).sum(2, keepdim=True)
        return value, torch.cat([image_slope, (distribution * centred).flatten(1)], 1)

    def _matched(self, inputs: Tensor, distribution: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distance and its derivatives in records and labels, of float32 where that is enough."""
        roughly = self.roughly[rows] > 0
        if self.rough is None or not bool(roughly.any()):
            return matched(self.problem, inputs, distribution, rows, self.apart)
        if not bool(roughly.all()):
            parts = [
                (mask, self._matched(inputs[mask], distribution[mask], rows[mask])) for mask in (roughly, ~roughly)
            ]
            whole = inputs.new_zeros(len(rows)), torch.zeros_like(inputs), torch.zeros_like(distribution)
            for mask, found in parts:
                for value, part in zip(whole, found, strict=True):
                    value[mask] = part
            return whole
        value, slope, label_slope = matched(self.rough, inputs.float(), distribution.float(), rows, self.apart_roughly)
        self.roughly[rows] = torch.where(value < FINE * self.norm[rows], 0, self.roughly[rows] - 1)
        return value.to(inputs), slope.to(inputs), label_slope.to(inputs)

    def _records(self, x: Tensor) -> Tensor:
        records: Tensor = x[:, : self.size].unflatten(1, self.shape)
        return records

    def _targets(self, x: Tensor, rows: Tensor) -> Tensor:
        if self.fixed is not None:
            return self.fixed[rows]
        return torch.softmax(x[:, self.size :].unflatten(1, (self.shape[0], self.classes)), 2)
