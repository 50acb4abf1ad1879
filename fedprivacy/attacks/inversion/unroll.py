"""Inversion of an update of several local steps: the client's training is simulated, and differentiated through.

Geiping et al. (2020), section on federated averaging; Dimitrov, Balunovic, Konstantinov, Vechev, "Data Leakage in
Federated Averaging" (2022): where the order of the records is unknown, every epoch gets its own copy of them, an
order-free penalty makes the copies agree, and in the end they are matched and averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
import scipy
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap
from torch.nn import functional as F

from fedprivacy.attacks.inversion.clock import UNLIMITED, Clock
from fedprivacy.attacks.inversion.cosine import CosineSettings, descend
from fedprivacy.attacks.inversion.dlg import DlgSettings, match
from fedprivacy.attacks.inversion.gradients import RECORDS_AT_ONCE, Layout, cross_entropy, frozen_copy
from fedprivacy.attacks.inversion.knowledge import Adam, Knowledge
from fedprivacy.attacks.inversion.mapped import Mapped
from fedprivacy.attacks.inversion.reconstruction import Reconstruction
from fedprivacy.attacks.inversion.told import told
from fedprivacy.attacks.inversion.variables import Penalty
from fedprivacy.config.base import UsageError
from fedprivacy.training.adam import corrected
from fedprivacy.training.differentiable import differentiable

BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-30
SOFT = 0.1
"""How far attacks smooth a simulated Adam."""
ROOM, ON_THE_WAY = 2**28, 6
"""Bytes that all problems of one pass of simulated steps may keep for the way back: SGD keeps the weights of each step,
and a few more while it is under way."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Adam's means of gradients and of their squares, both empty before the first step, and what smooths the root."""

    first: Mapping[str, Tensor] = field(default_factory=dict)
    second: Mapping[str, Tensor] = field(default_factory=dict)
    floor: Tensor | float = TINY

    def after(self, slopes: Mapping[str, Tensor], soft: float) -> Moments:
        """The moments once ``slopes`` were seen."""
        floor = self.floor
        if not self.first:
            size = sum(value.numel() for value in slopes.values())
            floor = soft**2 / size * sum(value.square().sum() for value in slopes.values()) + TINY
        first = {n: (1 - BETA_1) * g + BETA_1 * self.first.get(n, 0.0) for n, g in slopes.items()}
        second = {n: (1 - BETA_2) * g.square() + BETA_2 * self.second.get(n, 0.0) for n, g in slopes.items()}
        return Moments(first, second, floor)

    def moves(self, adam: Adam, number: int) -> dict[str, Tensor]:
        """Step ``number`` (from 1) over the learning rate."""
        eps, unbiased = corrected(adam.eps, adam.form, BETA_2, number), 1 - BETA_2**number
        return {
            name: mean / (1 - BETA_1**number) / ((self.second[name] / unbiased + self.floor).sqrt() + eps)
            for name, mean in self.first.items()
        }


class UpdateMap:
    """``(weights before - weights after) / lr`` of local SGD, or of Adam, as a map of the records.

    The card's proximal term is in the loss. With a clip bound each record's gradient is scaled to it at most, and a
    step is their sum over the expected number of records (Abadi et al. 2016, algorithm 1, without its noise).

    With ``copies`` (the number of epochs, or 1) the records of epoch e are rows ``e * records`` onwards; else every
    epoch goes through the same rows. Batches are consecutive rows, the last of an epoch perhaps smaller.

    Adam that kept its moments has its earlier rounds simulated too, each from the weights that it began from.

    Adam divides by what a coordinate's gradients were, so its steps hardly change with a record until they flip sign.
    ``soft`` smooths that: ``sqrt(v_hat + soft^2 r)`` in the place of the root, r the mean square of all first
    gradients; 0 is Adam itself.
    """

    def __init__(self, twin: nn.Module, knowledge: Knowledge, copies: int = 1, soft: float = 0.0) -> None:
        if knowledge.lr is None:
            raise UsageError("inversion: to simulate local steps their learning rate must be known; use 'cosine'.")
        self._twin, self._lr, size = twin, knowledge.lr, knowledge.batch or knowledge.records
        self._adam, self._soft, self._hold = knowledge.adam, soft, knowledge.hold
        self._clip, self._expected = knowledge.clip, knowledge.expected or float(knowledge.records)
        self._start: dict[str, Tensor] = dict(twin.named_parameters())
        past = () if self._adam is None else self._adam.past
        self._starts = [{n: one.weights[n].to(value) for n, value in self._start.items()} for one in past]
        self._starts.append(self._start)
        self._batches = [
            slice(first, min(first + size, (epoch % copies + 1) * knowledge.records))
            for epoch in range(knowledge.epochs)
            for first in range((epoch % copies) * knowledge.records, (epoch % copies + 1) * knowledge.records, size)
        ]
        copied = len(self._batches) + ON_THE_WAY if self._adam is None else 8 * len(self._batches) * len(self._starts)
        kept = copied * sum(value.nbytes for value in self._start.values())
        self.at_once = max(1, ROOM // kept) * knowledge.records * copies
        if self._adam is None:
            self.at_once = min(RECORDS_AT_ONCE, self.at_once)
        self._mapped = Mapped(twin, cross_entropy)
        self._pull: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None

    def _one(self, x: Tensor, targets: Tensor) -> Tensor:
        def loss(parameters: dict[str, Tensor], rows: slice) -> Tensor:
            with differentiable(self._twin):
                return cross_entropy(functional_call(self._twin, parameters, (x[rows],)), targets[rows])

        now, state, number = self._start, Moments(), 0
        for start in self._starts:
            now = start
            for rows in self._batches:
                number += 1
                slopes = grad(loss)(now, rows) if self._clip is None else self._clipped(now, x[rows], targets[rows])
                moves = slopes
                if self._hold:
                    moves = {n: slope + self._hold * (now[n] - start[n]) for n, slope in slopes.items()}
                if self._adam is not None:
                    state = state.after(moves, self._soft)
                    moves = state.moves(self._adam, number)
                now = {name: torch.sub(value, moves[name], alpha=self._lr) for name, value in now.items()}
        return torch.cat([(self._start[name] - value).flatten() for name, value in now.items()]).div(self._lr)

    def _clipped(self, now: dict[str, Tensor], x: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Sum of the records' clipped gradients over the expected number of records."""

        def loss(parameters: dict[str, Tensor], one: Tensor, target: Tensor) -> Tensor:
            return cross_entropy(functional_call(self._twin, parameters, (one[None],)), target[None])

        each = self._of_records(loss, now, x, targets)
        squares = torch.stack([g.flatten(1).square().sum(1) for g in each.values()]).sum(0)
        share = ((self._clip or 0.0) / (squares + TINY).sqrt()).clamp(max=1.0) / self._expected
        return {name: torch.tensordot(share, g, dims=1) for name, g in each.items()}

    def _of_records(
        self, loss: Callable[..., Tensor], now: dict[str, Tensor], x: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        """The gradient of each record."""
        if self._mapped.found:
            each: dict[str, Tensor] = vmap(grad(loss), (None, 0, 0))(now, x, targets)
            return each
        one_by_one = [grad(loss)(now, *one) for one in zip(x, targets, strict=True)]
        return {name: torch.stack([one[name] for one in one_by_one]) for name in now}

    def gradients(self, x: Tensor, targets: Tensor) -> Tensor:
        """See :class:`fedprivacy.attacks.inversion.gradients.GradientMap`."""
        self._pull = None  # what the last call kept goes before this one keeps as much
        found: Tensor
        found, self._pull = vjp(partial(self._mapped.each, self._one), x, targets)  # type: ignore[misc]
        return found.detach()

    def values(self, x: Tensor, targets: Tensor) -> Tensor:
        """See :class:`fedprivacy.attacks.inversion.gradients.GradientMap`."""
        return self._mapped.each(self._one, x, targets).detach()

    def pullback(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`fedprivacy.attacks.inversion.gradients.GradientMap`."""
        if self._pull is None:
            raise ValueError("pullback speaks about the last call of gradients, and there was none.")
        dx, dt = self._pull(direction)
        return dx.detach(), dt.detach()


@dataclass(frozen=True)
class UnrollSettings:
    """``lbfgs`` on the squared distance suits smooth networks, ``signed`` on the cosine distance those with ReLU.

    ``agreement`` weighs the penalty between the copies of the records.
    """

    optimiser: Literal["lbfgs", "signed"] = "lbfgs"
    lbfgs: DlgSettings = field(default_factory=DlgSettings)
    signed: CosineSettings = field(default_factory=CosineSettings)
    agreement: float = 0.01


def local_steps(
    model: nn.Module,
    parameters: Mapping[str, Tensor],
    observed: Sequence[Mapping[str, Tensor]],
    knowledge: Knowledge,
    labels: Tensor | None,
    generator: torch.Generator,
    settings: UnrollSettings = UnrollSettings(),
    clock: Clock = UNLIMITED,
) -> Reconstruction:
    """Reconstruct the records behind each of the T ``observed`` updates of local SGD; ``labels`` [T, B], or None.

    Without labels they are found too (``lbfgs`` only). So they are where steps take different labels in an unknown
    order: which labels occur says little about which step met them. Loss: that of the optimiser, on the simulated
    update.
    """
    if knowledge.shared != "update":
        raise UsageError("inversion: 'local-steps' simulates them, and a gradient has none; use 'dlg' or 'cosine'.")
    chosen = settings.lbfgs if settings.optimiser == "lbfgs" else settings.signed
    like = torch.zeros(1, dtype=chosen.dtype, device=chosen.device)
    copies = knowledge.epochs if knowledge.unordered else 1
    problem = UpdateMap(frozen_copy(model, parameters, knowledge, like), knowledge, copies, SOFT)
    wanted = Layout.of(model).flat_all(observed, like) / -float(knowledge.lr or 1.0)
    mixed = copies > 1 and labels is not None and bool((labels != labels[:, :1]).any())
    card = replace(
        knowledge,
        records=knowledge.records * copies,
        batch=None,
        epochs=1,
        labels="recovered" if knowledge.labels == "given" else knowledge.labels,
        given_labels=None,
    )
    known = None if labels is None or (mixed and settings.optimiser == "lbfgs") else labels.repeat(1, copies)
    seen = told(knowledge, Layout.of(model), wanted)
    penalty = order_free(knowledge, copies, settings.agreement, generator, like) if copies > 1 else None
    if settings.optimiser == "lbfgs":
        found = match(problem, wanted, card, known, generator, settings.lbfgs, penalty, clock, seen)
    elif known is None:
        raise UsageError("inversion: 'local-steps' by signed steps needs labels; recover them first, or use 'lbfgs'.")
    else:
        found = descend(problem, wanted, card, known, generator, settings.signed, penalty, clock, None, seen)
    return found if copies == 1 else _averaged(found, copies)


def order_free(knowledge: Knowledge, copies: int, weight: float, generator: torch.Generator, like: Tensor) -> Penalty:
    """How far the epochs' copies disagree, whatever the order of their records.

    Mean squared deviation from the mean over epochs, of the records' mean image and of the mean response to 16 fixed
    random filters of 3 x 3.
    """
    channels = knowledge.input_shape[0]
    filters = torch.randn(16, channels, 3, 3, generator=generator, dtype=torch.float64).to(like) / (9 * channels) ** 0.5

    def disagreement(x: Tensor) -> Tensor:
        epochs = x.unflatten(1, (copies, -1))
        responses = F.conv2d(x.flatten(0, 1), filters, padding=1).relu()
        features = (epochs.mean(2), responses.unflatten(0, (len(x), copies, -1)).mean(2))
        return weight * torch.stack([(f - f.mean(1, keepdim=True)).square().flatten(1).mean(1) for f in features]).sum(
            0
        )

    def penalty(x: Tensor) -> tuple[Tensor, Tensor]:
        value: Tensor
        value, pull = vjp(disagreement, x)  # type: ignore[misc]
        (slope,) = pull(torch.ones_like(value))
        return value.detach(), slope.detach()

    return penalty


def _averaged(found: Reconstruction, copies: int) -> Reconstruction:
    """Copies of the records matched one to one to the first epoch's, images and label distributions averaged."""
    images = found.images.unflatten(1, (copies, -1)).clone()
    targets = found.targets.unflatten(1, (copies, -1)).clone()
    for target in range(len(images)):
        if not bool(images[target].isfinite().all()):
            continue
        flat = images[target].flatten(2).double().cpu()
        for copy in range(1, copies):
            _, columns = scipy.optimize.linear_sum_assignment(torch.cdist(flat[0], flat[copy]).numpy())
            order = torch.from_numpy(np.asarray(columns)).to(images.device)
            images[target, copy] = images[target, copy, order]
            targets[target, copy] = targets[target, copy, order]
    return replace(found, images=images.mean(1), targets=targets.mean(1))
