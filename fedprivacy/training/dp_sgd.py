"""Differentially private training of one client on its private records (Abadi et al. 2016, arXiv 1607.00133).

A step: draw a batch; clip every record's gradient; add noise to their sum; divide by the expected batch size; let the
optimiser step. Adding or removing one record moves the sum by at most the clip bound, so Gaussian noise of
``noise_multiplier`` times the bound is the event that the accountant is told. The draw, the number of steps and the
divisor rest on the nominal number of records, a public figure, and an empty batch is a step of noise alone.

Private and public records never meet in one graph: this trains on the records it is given, and a public phase is an
ordinary fit afterwards. Noise from a named seed is for measurement; whoever knows the seed can take it off again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.training.augmentation import augmented
from fedprivacy.training.clipping import Batch, Clipped
from fedprivacy.training.engines import Engines, Name
from fedprivacy.training.learner import Diverged, Epoch, Learner, Loss, Records, Seed, label_loss, normalised
from fedprivacy.training.losses import cross_entropy, predicted_class
from fedprivacy.training.running_state import still


@dataclass(frozen=True)
class DpSgd:
    """Settings of private training; an instance is a private fit.

    ``sampling``: ``poisson`` puts each record into each batch by its own coin; ``partition`` deals each record to one
    batch of an epoch at random, so that an epoch is one Gaussian release at rate 1, the cheaper of the two where a
    batch is a large part of the records. ``layers``: train all parameters or those of the last layer alone.
    ``engine``: ``auto`` records one backward pass, ``func`` differentiates the model record by record with
    ``torch.func``, ``opacus`` and ``ghost`` use the hooks of Opacus. Where one does not cover a model, ``func`` takes
    over, and one pass a record where that cannot either.
    """

    noise_multiplier: float
    max_grad_norm: float
    batch_size: int
    sampling: Literal["poisson", "partition"] = "poisson"
    layers: Literal["all", "head"] = "all"
    engine: Name = "auto"

    def rate(self, nominal: int) -> float:
        """Probability with which a record is in a batch, of ``nominal`` records."""
        return min(1.0, self.batch_size / nominal)

    def steps(self, nominal: int) -> int:
        """Steps of one epoch."""
        return max(1, math.floor(1 / self.rate(nominal) + 0.5))

    def divisor(self, nominal: int) -> float:
        """Expected size of a batch, by which sums of gradients are divided."""
        return nominal / self.steps(nominal) if self.sampling == "partition" else nominal * self.rate(nominal)

    def __call__(
        self, learner: Learner, records: Records, epochs: int, seed: Seed, loss: Loss = label_loss, nominal: int = 0
    ) -> list[Epoch]:
        """Fit ``records`` for ``epochs`` and return mean loss and accuracy over the records each epoch drew.

        ``loss`` must be a mean of terms that depend on one record each; any but the plain one is evaluated row by
        row. ``nominal`` (0: the number of records) sets rate, steps and divisor. Raises :class:`Diverged` on a loss
        or gradient that is not finite, and UsageError for a model that remembers records outside its weights.
        """
        nominal = nominal or max(1, len(records))
        root, name = seed
        draw, noise = seeds.generator(root, *name, "sampling"), seeds.generator(root, *name, "noise")
        moved = seeds.generator(root, *name, "augmentation")
        report = []
        learner.module.train()
        with _trainable(learner.module, self.layers) as parameters:
            engines = Engines(self.engine)
            with seeds.torch_scope(root, *name, "dropout"):
                for _ in range(epochs):
                    tally = _Tally()
                    for rows in self._batches(len(records), nominal, draw):
                        self._step(learner, engines, parameters, records, rows, loss, nominal, noise, moved, tally)
                    report.append(tally.epoch())
        return report

    def _batches(self, number: int, nominal: int, draw: torch.Generator) -> Iterator[Tensor]:
        """Positions of the records of each step of an epoch; some may be empty."""
        steps = self.steps(nominal)
        if self.sampling == "partition":
            dealt = torch.randint(steps, (number,), generator=draw)
            yield from (torch.nonzero(dealt == step).flatten() for step in range(steps))
        else:
            rate = self.rate(nominal)
            yield from (torch.nonzero(torch.rand(number, generator=draw) < rate).flatten() for _ in range(steps))

    def _step(
        self,
        learner: Learner,
        engines: Engines,
        parameters: list[nn.Parameter],
        records: Records,
        rows: Tensor,
        loss: Loss,
        nominal: int,
        noise: torch.Generator,
        moved: torch.Generator,
        tally: _Tally,
    ) -> None:
        clipped = None
        if len(rows):
            x = normalised(torch.from_numpy(records.x)[rows].to(learner.device))
            x = augmented(x, learner.config.augmentation, moved)
            y = torch.from_numpy(records.y)[rows].to(learner.device)
            with still(learner.module):
                batch = of_rows(learner.module, parameters, x, y, rows.to(learner.device), loss)
                clipped = engines.clipped(batch, self.max_grad_norm)
            tally.add(batch, clipped, y)
        expected = self.divisor(nominal)
        for parameter in parameters:
            total = torch.zeros_like(parameter) if clipped is None else clipped.total[parameter]
            parameter.grad = noised(total, self.noise_multiplier * self.max_grad_norm, noise).div_(expected)
        learner.optimizer.step()
        learner.optimizer.forget_gradients()


def noised(total: Tensor, deviation: float, noise: torch.Generator) -> Tensor:
    """``total`` plus N(0, deviation^2) in every entry."""
    drawn = torch.randn(total.shape, generator=noise, dtype=total.dtype)
    return drawn.mul_(deviation).to(total.device).add_(total)


class _Tally:
    """Loss and accuracy over the records of an epoch."""

    def __init__(self) -> None:
        self.loss, self.right, self.seen = 0.0, 0, 0

    def add(self, batch: Batch, clipped: Clipped, labels: Tensor) -> None:
        assert batch.told is not None
        losses, logits = batch.told
        total = float(losses.double().sum())
        if not math.isfinite(total):
            raise Diverged(f"the loss became {total}")
        if not bool(torch.isfinite(clipped.norms).all()):
            raise Diverged("the norm of a gradient is not finite")
        self.loss += total
        self.right += int((predicted_class(logits) == labels).sum())
        self.seen += len(labels)

    def epoch(self) -> Epoch:
        """Zeros where no record was drawn."""
        number = max(1, self.seen)
        return Epoch(self.loss / number, self.right / number)


def of_rows(module: nn.Module, parameters: list[nn.Parameter], x: Tensor, y: Tensor, rows: Tensor, loss: Loss) -> Batch:
    """The batch of records ``x`` [B, ...] with labels ``y`` [B] that stand at ``rows`` [B] of all."""
    return Batch(module, parameters, x, lambda logits, at: row_losses(loss, logits, y[at], rows[at]))


def row_losses(loss: Loss, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
    """The loss of each row [B], each computed from that row alone."""
    if loss is label_loss:
        return cross_entropy(logits, labels, reduction="none")
    return torch.stack([loss(logits[i : i + 1], labels[i : i + 1], rows[i : i + 1]) for i in range(len(labels))])


@contextmanager
def _trainable(module: nn.Module, layers: str) -> Iterator[list[nn.Parameter]]:
    """The parameters to train; all others are frozen meanwhile."""
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    head = module.get_submodule("head") if layers == "head" else module
    chosen = [parameter for parameter in head.parameters() if parameter.requires_grad]
    for parameter, _ in before:
        parameter.requires_grad_(False)
    for parameter in chosen:
        parameter.requires_grad_(True)
    try:
        yield chosen
    finally:
        for parameter, state in before:
            parameter.requires_grad_(state)
