"""Private and public records in one graph under per-sample clipping, and what is left of the claim.

Opacus keeps one gradient a row and adds those of a second forward pass row by row, so row i of a batch of private
records is clipped together with row i of the public ones (Yousefpour et al. 2021, arXiv 2109.12298, for the hooks).
The step succeeds. Here the sum that leaves is compared with and without one private record, digits and chosen data.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from bounded import DELTA, HEADS, bounds
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy import seeds
from fedprivacy.privacy.calibration import gaussian_multiplier
from fedprivacy.privacy.closed_forms import gaussian_epsilon
from fedprivacy.training.dp_sgd import noised
from fedprivacy.training.per_sample import clipped_sum


@dataclass(frozen=True)
class Batch:
    """Private and public records, labels of both, and the weights [classes, features] of a linear model."""

    private: Tensor
    labels: Tensor
    public: Tensor
    public_labels: Tensor
    weights: Tensor

    def without(self, row: int) -> Batch:
        keep = torch.arange(len(self.private)) != row
        return Batch(self.private[keep], self.labels[keep], self.public, self.public_labels, self.weights)

    def model(self) -> nn.Linear:
        model = nn.Linear(self.weights.shape[1], self.weights.shape[0], bias=False)
        with torch.no_grad():
            model.weight.copy_(self.weights)
        return model


@contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        yield


def merged(batch: Batch) -> tuple[Tensor, int, Any]:
    """Clipped sum (clip 1), rows that Opacus holds, and its optimizer, after one backward pass on both losses."""
    hooked = GradSampleModule(batch.model(), loss_reduction="sum")
    sgd = torch.optim.SGD(hooked.parameters(), lr=1.0)
    optimizer: Any = DPOptimizer(
        sgd, noise_multiplier=0.0, max_grad_norm=1.0, expected_batch_size=1, loss_reduction="sum"
    )
    with quiet():
        own = functional.cross_entropy(hooked(batch.private), batch.labels, reduction="sum")
        public = functional.cross_entropy(hooked(batch.public), batch.public_labels, reduction="sum")
        (own + public).backward()
    (weight,) = hooked.parameters()
    rows = len(weight.grad_sample)  # type: ignore[arg-type]
    before = weight.detach().clone()
    optimizer.step()
    return before - weight.detach(), rows, optimizer


def separate(batch: Batch) -> Tensor:
    """Clipped sum over the private rows alone; the public records get a step of their own, which costs nothing."""
    model = batch.model()
    losses = lambda: functional.cross_entropy(model(batch.private), batch.labels, reduction="none")  # noqa: E731
    return clipped_sum([model.weight], losses, 1.0).total[model.weight]


def refused(batch: Batch) -> str:
    """What the library says to both in one graph."""
    model = batch.model()

    def losses() -> Tensor:
        own = functional.cross_entropy(model(batch.private), batch.labels, reduction="none")
        return own + functional.cross_entropy(model(batch.public), batch.public_labels, reduction="mean")

    try:
        clipped_sum([model.weight], losses, 1.0)
    except ValueError as error:
        return str(error)
    raise SystemExit("private and public rows passed in one graph")


def digits(private: int, public: int, seed: int) -> Batch:
    """Digits, at the weights that 50 plain steps on the public ones lead to."""
    stored = load_digits()
    x, y = torch.tensor(stored.data / 16, dtype=torch.float32), torch.tensor(stored.target)
    order = torch.randperm(len(x), generator=seeds.generator(seed, "audit", "merged"))
    own, rest = order[:private], order[private : private + public]
    weights = torch.zeros(10, 64)
    for _ in range(50):
        error = torch.softmax(x[rest] @ weights.T, 1) - functional.one_hot(y[rest], 10)
        weights -= 0.5 * error.T @ x[rest] / public
    return Batch(x[own], y[own], x[rest], y[rest], weights)


def chosen(private: int, public: int) -> Batch:
    """One feature; sizes of gradients are chosen so that every second private row turns when all move up by one.

    Private rows pull by -3 and 0 in turn, public ones by 4 and 1: sums +1 and +1; without the first record 4 and -2.
    """
    own = torch.where(torch.arange(private) % 2 == 0, 3000.0, 0.0)[:, None]
    others = torch.where(torch.arange(public) % 2 == 0, 4000.0, 1000.0)[:, None]
    zeros, ones = torch.zeros(private, dtype=torch.int64), torch.ones(public, dtype=torch.int64)
    return Batch(own, zeros, others, ones, torch.zeros(2, 1))


SIZES = ((8, 30), (32, 64), (64, 64))
CLAIM = 1.0


def sensitivity_section(draws: int) -> list[str]:
    lines = [
        "| records | private + public rows | rows after both passes | one graph, first record removed "
        "| one graph, last record removed | two steps | epsilon of the first, claim 1 |",
        "|---|---|---|---|---|---|---|",
    ]
    multiplier = gaussian_multiplier(CLAIM, DELTA)
    for private, public in SIZES:
        for name, batches in (
            ("digits", [digits(private, public, seed) for seed in range(draws)]),
            ("chosen", [chosen(private, public)]),
        ):
            first, last, alone = [], [], []
            for batch in batches:
                whole, rows, _ = merged(batch)
                first.append(float((whole - merged(batch.without(0))[0]).norm()))
                last.append(float((whole - merged(batch.without(private - 1))[0]).norm()))
                alone.append(float((separate(batch) - separate(batch.without(0))).norm()))
            cells = [f"{np.mean(found):.2f} (max {max(found):.2f})" for found in (first, last, alone)]
            true = gaussian_epsilon(max(first) / multiplier, DELTA)
            lines.append(f"| {name} | {private} + {public} | {rows} | {' | '.join(cells)} | {true:.2f} |")
    return lines


def audit_section(runs: int, draws: int) -> list[str]:
    lines = [
        f"| records | steps | private + public rows | runs | claimed epsilon | {HEADS} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    drawn = [digits(64, 64, seed) for seed in range(draws)]
    worst = max(drawn, key=lambda one: float((merged(one)[0] - merged(one.without(0))[0]).norm()))
    cases = [("digits, the draw that moves most", worst), ("chosen", chosen(64, 64))]
    for name, batch in cases:
        for steps, summed in (("one graph", lambda one: merged(one)[0]), ("two steps", separate)):
            without, within = summed(batch.without(0)), summed(batch)
            coins = torch.rand(runs, generator=seeds.generator(0, "merged", "coins")) < 0.5
            means = torch.where(coins[:, None, None], within, without)
            seen = noised(means, gaussian_multiplier(CLAIM, DELTA), seeds.generator(0, "merged", name, steps))
            scores = ((seen - without) * (within - without)).sum((1, 2)).double().numpy()
            cells = bounds(scores, coins.numpy(), 2 * len(cases)).cells(CLAIM)
            lines.append(
                f"| {name} | {steps} | {len(batch.private)} + {len(batch.public)} | {runs} | {CLAIM:g} | {cells} |"
            )
    return lines


def section(share: float, draws: int) -> list[str]:
    """Tables of this file; ``share`` of the runs, for a quick look."""
    return [
        *sensitivity_section(4 * draws),
        "",
        f'Both in one graph, given to the library: "{refused(digits(8, 30, 0))}"',
        "",
        *audit_section(max(500, int(5000 * share)), 4 * draws),
    ]
