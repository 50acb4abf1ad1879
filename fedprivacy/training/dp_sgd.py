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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.training.learner import Diverged, Epoch, Learner, Loss, Records, Seed, label_loss, normalised
from fedprivacy.training.losses import cross_entropy, predicted_class
from fedprivacy.training.per_sample import Clipped, NotCovered, clipped_sum


@dataclass(frozen=True)
class DpSgd:
    """Settings of private training; an instance is a private fit.

    ``sampling``: ``poisson`` puts each record into each batch by its own coin; ``partition`` deals each record to one
    batch of an epoch at random, so that an epoch is one Gaussian release at rate 1, the cheaper of the two where a
    batch is a large part of the records. ``layers``: train all parameters or those of the last layer alone.
    ``engine``: ``auto`` records one backward pass and falls back to Opacus; ``opacus`` always uses its hooks.
    """

    noise_multiplier: float
    max_grad_norm: float
    batch_size: int
    sampling: Literal["poisson", "partition"] = "poisson"
    layers: Literal["all", "head"] = "all"
    engine: Literal["auto", "opacus"] = "auto"

    def rate(self, nominal: int) -> float:
        """Probability with which a record is in a batch, of ``nominal`` records."""
        return min(1.0, self.batch_size / nominal)

    def steps(self, nominal: int) -> int:
        """Steps of one epoch."""
        return max(1, math.floor(1 / self.rate(nominal) + 0.5))

    def __call__(
        self, learner: Learner, records: Records, epochs: int, seed: Seed, loss: Loss = label_loss, nominal: int = 0
    ) -> list[Epoch]:
        """Fit ``records`` for ``epochs`` and return mean loss and accuracy over the records each epoch drew.

        ``loss`` must be a mean of terms that depend on one record each; any but the plain one is evaluated row by
        row. ``nominal`` (0: the number of records) sets rate, steps and divisor. Raises :class:`Diverged` on a loss
        or gradient that is not finite.
        """
        nominal = nominal or max(1, len(records))
        root, name = seed
        draw, noise = seeds.generator(root, *name, "sampling"), seeds.generator(root, *name, "noise")
        report = []
        learner.module.train()
        with _trainable(learner.module, self.layers) as parameters, ExitStack() as hooks:
            engine = _Engine(learner.module, parameters, hooks, self.engine == "opacus")
            with seeds.torch_scope(root, *name, "dropout"):
                for _ in range(epochs):
                    tally = _Tally()
                    for rows in self._batches(len(records), nominal, draw):
                        self._step(learner, engine, records, rows, loss, nominal, noise, tally)
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
        engine: _Engine,
        records: Records,
        rows: Tensor,
        loss: Loss,
        nominal: int,
        noise: torch.Generator,
        tally: _Tally,
    ) -> None:
        clipped = None
        if len(rows):
            x = normalised(torch.from_numpy(records.x)[rows].to(learner.device))
            y = torch.from_numpy(records.y)[rows].to(learner.device)
            clipped = engine.clipped(x, y, rows.to(learner.device), loss, self.max_grad_norm, tally)
        expected = nominal / self.steps(nominal) if self.sampling == "partition" else nominal * self.rate(nominal)
        for parameter in engine.parameters:
            total = torch.zeros_like(parameter) if clipped is None else clipped.total[parameter]
            parameter.grad = noised(total, self.noise_multiplier * self.max_grad_norm, noise).div_(expected)
        learner.optimizer.step()
        learner.optimizer.zero_grad(set_to_none=True)


def noised(total: Tensor, deviation: float, noise: torch.Generator) -> Tensor:
    """``total`` plus N(0, deviation^2) in every entry."""
    drawn = torch.randn(total.shape, generator=noise, dtype=total.dtype)
    return drawn.mul_(deviation).to(total.device).add_(total)


class _Tally:
    """Loss and accuracy over the records of an epoch."""

    def __init__(self) -> None:
        self.loss, self.right, self.seen = 0.0, 0, 0

    def add(self, losses: Tensor, logits: Tensor, labels: Tensor) -> None:
        total = float(losses.detach().double().sum())
        if not math.isfinite(total):
            raise Diverged(f"the loss became {total}")
        self.loss += total
        self.right += int((predicted_class(logits.detach()) == labels).sum())
        self.seen += len(labels)

    def epoch(self) -> Epoch:
        """Zeros where no record was drawn."""
        number = max(1, self.seen)
        return Epoch(self.loss / number, self.right / number)


class _Engine:
    """Clipped sums of one module's gradients, by the recording or, once that does not cover it, by Opacus."""

    def __init__(self, module: nn.Module, parameters: list[nn.Parameter], hooks: ExitStack, opacus: bool) -> None:
        self.module, self.parameters, self._hooks = module, parameters, hooks
        self._wrapped: nn.Module | None = self._hooked() if opacus else None

    def clipped(self, x: Tensor, y: Tensor, rows: Tensor, loss: Loss, bound: float, tally: _Tally) -> Clipped:
        """Clipped sum over the batch; its loss and accuracy go to ``tally``."""
        kept: list[tuple[Tensor, Tensor]] = []

        def losses(model: nn.Module) -> Callable[[], Tensor]:
            def run() -> Tensor:
                logits: Tensor = model(x)
                each = row_losses(loss, logits, y, rows)
                kept[:] = [(each, logits)]
                return each

            return run

        found = self._found(losses, bound)
        each, logits = kept[0]
        tally.add(each, logits, y)
        if not bool(torch.isfinite(found.norms).all()):
            raise Diverged("the norm of a gradient is not finite")
        return found

    def _found(self, losses: Callable[[nn.Module], Callable[[], Tensor]], bound: float) -> Clipped:
        if self._wrapped is None:
            try:
                return clipped_sum(self.parameters, losses(self.module), bound)
            except NotCovered:
                self._wrapped = self._hooked()
        from fedprivacy.training.opacus_clipping import clipped_sum_by_hooks

        return clipped_sum_by_hooks(self.parameters, losses(self._wrapped), bound)

    def _hooked(self) -> nn.Module:
        from fedprivacy.training.opacus_clipping import hooked

        return self._hooks.enter_context(hooked(self.module))


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
