"""Fits of several perceptrons of one architecture as one computation, where their records differ in number.

A step is one batched product a layer, and one fused update. Each model keeps its own order of records, its own batches
and its own count of steps: shorter batches are filled up with records of weight 0, and a model whose pass is over waits
for the others. So each is trained as :meth:`~fedprivacy.training.learner.Learner.fit` trains it alone, up to the
rounding of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedprivacy.training.by_hand import chain, stacked_forward, stacked_gradients
from fedprivacy.training.fleet import Fleet, trained_abreast
from fedprivacy.training.learner import (
    Diverged,
    Epoch,
    Learner,
    Loss,
    Records,
    Seed,
    label_loss,
    normalised,
)
from fedprivacy.training.losses import predicted_class, softmax
from fedprivacy.training.optimiser import filled, fused, unfilled
from fedprivacy.training.passes import batches, passes
from fedprivacy.training.taught import WrittenOut


@dataclass(frozen=True, eq=False)
class Fit:
    """One call of :meth:`Learner.fit`."""

    learner: Learner
    records: Records
    epochs: int
    seed: Seed
    loss: Loss
    shuffle: bool
    even: bool
    batch_size: int

    @property
    def together(self) -> tuple[Any, ...]:
        """What those have in common that are trained at once."""
        module, config, x = self.learner.module, self.learner.config, self.records.x
        shapes = tuple((name, weight.shape, weight.dtype) for name, weight in module.named_parameters())
        kind = self.loss is label_loss
        return (
            type(module),
            shapes,
            config.model_dump_json(),
            self.epochs,
            self.batch_size,
            kind,
            x.shape[1:],
            x.dtype,
        )

    def batches(self) -> Iterator[tuple[Tensor, list[slice]]]:
        """Order and steps of each pass."""
        how: dict[str, Any] = {"shuffle": self.shuffle, "even": self.even}
        return passes(len(self.records), self.batch_size, self.epochs, self.seed, **how)


class Abreast:
    """Hands fits over to ``meet``, where they are waited for until those of others are there (:func:`answered`)."""

    def __init__(self, meet: Callable[[Fit | Fleet], Any]) -> None:
        self._meet = meet

    def takes(self, learner: Learner, loss: Loss) -> bool:
        """Whether the model is a perceptron that nobody watches, and the loss reads logits alone."""
        optimizer, layers = learner.optimizer, chain(learner.module)
        if layers is None or optimizer.before or optimizer.after or optimizer.lr != learner.config.lr:
            return False
        return layers.layers[-1].out_features > 1 if loss is label_loss else bool(getattr(loss, "of_logits", False))

    def fit(self, *asked: Any) -> list[Epoch]:
        """What :class:`Fit` is made of. Raises :class:`Diverged`."""
        found: list[Epoch] = self._meet(Fit(*asked))
        return found

    def fleet(self, asked: Fleet) -> list[dict[str, Tensor]]:
        """The weights of each member. Raises :class:`Diverged`."""
        found: list[dict[str, Tensor]] = self._meet(asked)
        return found


def answered(asked: Sequence[Fit | Fleet]) -> list[Any]:
    """Do all that is asked for, those at once that can be; what each gives, or how it diverged."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, one in enumerate(asked):
        alike.setdefault((type(one), *one.together), []).append(place)
    found: dict[int, Any] = {}
    for places in alike.values():
        some = [asked[place] for place in places]
        fits, fleets = [one for one in some if isinstance(one, Fit)], [one for one in some if isinstance(one, Fleet)]
        found |= zip(places, fitted_abreast(fits) if fits else trained_abreast(fleets), strict=True)
    return [found[place] for place in range(len(asked))]


def fitted_abreast(fits: Sequence[Fit]) -> list[list[Epoch] | Diverged]:
    """The same for fits that are equal in :attr:`Fit.together`."""
    steps = [len(batches(len(fit.records), fit.batch_size, fit.even)) for fit in fits]
    order = sorted(range(len(fits)), key=lambda i: (-steps[i], fits[i].learner.optimizer.done))
    stack = _Stack([fits[i] for i in order])
    found = dict(zip(order, stack.trained(), strict=True))
    return [found[i] for i in range(len(fits))]


ROWS = 64
"""A batch that no client fills is filled up to a multiple of this."""


class _Stack:
    """Models side by side, those with the most steps a pass first."""

    def __init__(self, fits: Sequence[Fit]) -> None:
        self.fits, learners = fits, [fit.learner for fit in fits]
        self.config, self.device = learners[0].config, learners[0].device
        self.slots = [slot for slot in learners[0].optimizer.slots if slot != "step"]
        self.kept = [filled(torch.stack(list(same))) for same in zip(*map(_weights, learners), strict=True)]
        held = [_moments(one, self.slots) for one in learners]
        self.state = [
            [filled(torch.stack(list(same))) for same in zip(*of_slot, strict=True)]
            for of_slot in zip(*held, strict=True)
        ]
        shapes = [weight.shape for weight in _weights(learners[0])]
        self.weights = [unfilled(kept, shape) for kept, shape in zip(self.kept, shapes, strict=True)]
        self.done = [learner.optimizer.done for learner in learners]
        x = np.concatenate([fit.records.x for fit in fits])
        self.x = normalised(torch.from_numpy(x).to(self.device)).flatten(1)
        self.y = torch.from_numpy(np.concatenate([fit.records.y for fit in fits])).to(self.device)
        most = max(len(fit.records) for fit in fits)
        self.longest = min(fits[0].batch_size, -(-most // ROWS) * ROWS)
        self.starts = np.cumsum([0, *(len(fit.records) for fit in fits)])[:-1]

    def trained(self) -> list[list[Epoch] | Diverged]:
        """Train, and hand weights and moments back to the learners."""
        found: list[list[Epoch] | Diverged] = [[] for _ in self.fits]
        with torch.no_grad():
            for passed in zip(*(fit.batches() for fit in self.fits), strict=True):
                found = [_with(told, epoch) for told, epoch in zip(found, self._pass(passed), strict=True)]
        for place, fit in enumerate(self.fits):
            fit.learner.goes_on([weight[place] for weight in self.weights], self._moments_of(place))
        return found

    def _pass(self, passed: Sequence[tuple[Tensor, list[slice]]]) -> list[Epoch]:
        table, sizes = _batches(passed, self.starts, self.longest)
        rows, number = torch.from_numpy(table).to(self.device), torch.from_numpy(sizes).to(self.device)
        valid = torch.arange(table.shape[2], device=self.device) < number[:, :, None]
        labels, share = self.y[rows], valid.to(self.kept[0].dtype) / number.clamp_min(1)[:, :, None]
        logits = self.weights[-1].new_zeros(*table.shape, self.weights[-1].shape[1])
        values = logits.new_zeros(sizes.shape)
        plain = self.fits[0].loss is label_loss
        wanted = torch.zeros_like(logits).scatter_(3, labels[..., None], 1.0) if plain else logits
        for step, own in enumerate(sizes):
            active = int((own > 0).sum())
            weights = [weight[:active] for weight in self.weights]
            inputs = self.x.index_select(0, rows[step, :active].flatten()).view(active, table.shape[2], -1)
            seen = stacked_forward(weights, inputs)
            logits[step, :active] = seen[-1]
            if plain:
                slope = softmax(seen[-1]).sub_(wanted[step, :active]).mul_(share[step, :active, :, None])
            else:
                values[step, :active], slope = self._slopes(seen[-1], labels[step], rows[step], own, share[step])
            self._update(active, [filled(gradient) for gradient in stacked_gradients(weights, slope, seen)])
        if plain:
            own = logits.gather(3, labels[..., None])[..., 0]
            values = ((torch.logsumexp(logits, 3) - own) * share).sum(2)
        total = ((values.double() * number).sum(0) / number.sum(0)).tolist()
        hits = predicted_class(logits.flatten(0, 2)).view(labels.shape) == labels
        right = ((hits & valid).sum((0, 2)).double() / number.sum(0)).tolist()
        return [Epoch(*told) for told in zip(total, right, strict=True)]

    def _slopes(
        self, logits: Tensor, labels: Tensor, rows: Tensor, sizes: NDArray[np.int64], share: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses [A], and their derivatives by the logits [A, B, C], 0 where a batch was filled up.

        Labels, positions and shares may be of more models than the first A.
        """
        number, common = len(logits), self.fits[0].loss if logits.shape[2] > 1 else None
        positions = rows - torch.from_numpy(self.starts).to(rows.device)[:, None]
        if isinstance(common, WrittenOut) and all(fit.loss is common for fit in self.fits):
            return common.slopes(logits, labels[:number], positions[:number], share[:number, :, None])
        slope, values = torch.zeros_like(logits), []
        for m in range(number):
            fit, size = self.fits[m], int(sizes[m])
            if isinstance(fit.loss, WrittenOut) and logits.shape[2] > 1:
                asked = logits[m, :size], labels[m, :size], positions[m, :size], share[m, :size, None]
                value, slope[m, :size] = fit.loss.slopes(*asked)
                values.append(value)
                continue
            with torch.enable_grad():
                own = logits[m, :size].detach().requires_grad_()
                value = fit.loss(own, labels[m, :size], positions[m, :size])
                (slope[m, :size],) = torch.autograd.grad(value, own)
            values.append(value.detach())
        return torch.stack(values), slope

    def _update(self, active: int, gradients: Sequence[Tensor]) -> None:
        """One step of the first ``active`` models; those that have made as many steps before go together."""
        for done, places in _runs(self.done[:active]):
            state = [[values[places] for values in of_slot] for of_slot in self.state]
            if self.config.optimizer == "adam":
                state = [[torch.tensor(float(done + 1))] * len(self.kept), *state]
            own = [kept[places] for kept in self.kept], [gradient[places] for gradient in gradients]
            fused(self.config, self.config.lr, done + 1, *own, state)
        self.done[:active] = [done + 1 for done in self.done[:active]]

    def _moments_of(self, place: int) -> dict[str, Tensor]:
        """What :meth:`Optimiser.moments` says of one model."""
        found: dict[str, Tensor] = {}
        for index, weight in enumerate(self.weights):
            if self.config.optimizer == "adam":
                found[f"{index}.step"] = torch.tensor(float(self.done[place]))
            for slot, values in zip(self.slots, self.state, strict=True):
                found[f"{index}.{slot}"] = unfilled(values[index], weight.shape[1:])[place].cpu()
        return found


def _batches(
    passed: Sequence[tuple[Tensor, list[slice]]], starts: NDArray[np.int64], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions [steps, models, B] of each batch in all records, filled up with a model's first, and sizes.

    All are filled up to the ``longest`` that there can be, so that no sum of a model depends on who stands beside it.
    """
    sizes = np.zeros((len(passed[0][1]), len(passed)), dtype=np.int64)
    table = np.tile(starts[:, None], (len(sizes), 1, longest))
    for m, (order, parts) in enumerate(passed):
        for step, part in enumerate(parts):
            sizes[step, m] = part.stop - part.start
            table[step, m, : sizes[step, m]] += order.numpy()[part]
    return table, sizes


def _with(told: list[Epoch] | Diverged, epoch: Epoch) -> list[Epoch] | Diverged:
    if isinstance(told, Diverged):
        return told
    return [*told, epoch] if np.isfinite(epoch.loss) else Diverged(f"the loss became {epoch.loss}")


def _runs(values: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """Neighbours of one value."""
    start = 0
    for value, same in groupby(values):
        number = len(list(same))
        yield value, slice(start, start + number)
        start += number


def _weights(learner: Learner) -> list[Tensor]:
    return [weight.detach() for weight in learner.optimizer.parameters]


def _moments(learner: Learner, slots: Sequence[str]) -> list[list[Tensor]]:
    """By slot, the state of each parameter: zeros before the first step."""
    weights, state = _weights(learner), learner.optimizer.state
    return [
        [held[slot] if slot in held else torch.zeros_like(w) for w, held in zip(weights, state, strict=True)]
        for slot in slots
    ]
