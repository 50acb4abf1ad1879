"""How far one record moves one private step of a shared model when it also moved the teacher: digits, and chosen data.

The usual accounting assumes one clip bound, since every gradient is taken to depend on its own record. Gradients,
clipping and noise are the library's; only the accounting is false, on purpose. After Kalra et al. 2023 (ProxyFL,
arXiv 2111.11343), whose proxy learns from a private model that is trained without noise.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from bounded import DELTA, HEADS, bounds
from teacher_runs import Net, Records, Setting, digits, hidden_of, net_sum, start
from torch import Tensor, nn
from torch.nn import functional

from fedprivacy import seeds
from fedprivacy.privacy.calibration import gaussian_multiplier
from fedprivacy.privacy.closed_forms import gaussian_epsilon
from fedprivacy.training.dp_sgd import noised
from fedprivacy.training.per_sample import clipped_sum


def trained_teacher(x: Tensor, y: Tensor, steps: int, seed: int) -> Net:
    """A network 64-64-10 after ``steps`` steps on all records, rate 0.1, momentum 0.9."""
    setting = Setting(hidden=64)
    net = start(setting, seed)
    speed = [torch.zeros_like(w) for w in net]
    for _ in range(steps):
        for place, own in enumerate(net_sum(net, x, y, torch.zeros(1), 1.0, None)):
            speed[place] = 0.9 * speed[place] + own / len(x)
            net[place] = net[place] - 0.1 * speed[place]
    return net


def losses_of_rows(teacher: Tensor, shared: Tensor, y: Tensor, beta: float) -> Tensor:
    """Loss [n] of the shared model on each row of logits [n, C]; its mean is that of federated mutual learning."""
    log_p, log_q = torch.log_softmax(shared, 1), torch.log_softmax(teacher.detach(), 1)
    divergence = (log_q.exp() * (log_q - log_p)).sum(1)
    return beta * functional.cross_entropy(shared, y, reduction="none") + (1 - beta) * divergence


@lru_cache
def prepared(n: int, steps: int, agreeing: bool, seed: int) -> tuple[Records, tuple[Tensor, Tensor], Tensor]:
    """Records, logits of the teachers without and with the canary on their records, weights of the shared model."""
    given = digits(n, seed)
    taught = []
    for b in (0, 1):
        net = trained_teacher(*given.world(b), steps, seed)
        taught.append((hidden_of(net, given.world(b)[0]) @ net[1].transpose(1, 2))[0])
    shared = nn.Linear(64, 10, bias=False)
    nn.init.zeros_(shared.weight)
    if agreeing:
        goal, x = torch.softmax(taught[0], 1), given.world(0)[0]
        optimizer = torch.optim.Adam(shared.parameters(), lr=0.05)
        for _ in range(200):
            optimizer.zero_grad()
            functional.kl_div(torch.log_softmax(shared(x), 1), goal, reduction="batchmean").backward()
            optimizer.step()
    return given, (taught[0], taught[1]), shared.weight.detach()


def one_step(n: int, weight: float, steps: int, agreeing: bool, clip: float, seed: int) -> float:
    """How far the clipped sum moves when the canary joins, in clip bounds; ``weight`` is that of the KL.

    ``agreeing``: the shared model was fitted to the teacher of the records without the canary; else it is untrained.
    """
    given, taught, start_of_shared = prepared(n, steps, agreeing, seed)
    sums = [clipped_of(start_of_shared, *given.world(b), taught[b], weight, clip) for b in (0, 1)]
    return float((sums[1] - sums[0]).norm()) / clip


def clipped_of(weights: Tensor, x: Tensor, y: Tensor, taught: Tensor, weight: float, clip: float) -> Tensor:
    """The library's clipped sum for a linear model of ``weights`` [C, d]."""
    shared = nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    with torch.no_grad():
        shared.weight.copy_(weights)
    found = clipped_sum([shared.weight], lambda: losses_of_rows(taught, shared(x), y, 1 - weight), clip)
    return found.total[shared.weight]


def one_step_section(draws: int) -> list[str]:
    lines = [
        "| private records | weight of the KL | untrained, clip 1 | agreeing, clip 1 | agreeing, clip 0.1 "
        "| agreeing, clip 0.01 |",
        "|---|---|---|---|---|---|",
    ]
    for n in (50, 200, 1000):
        for weight in (0.0, 0.5, 1.0):
            cells = []
            for agreeing, clip in ((False, 1.0), (True, 1.0), (True, 0.1), (True, 0.01)):
                found = [one_step(n, weight, steps, agreeing, clip, s) for s in range(draws) for steps in (50, 300)]
                cells.append(f"{np.mean(found):.2f} (max {max(found):.2f})")
            lines.append(f"| {n} | {weight:g} | " + " | ".join(cells) + " |")
    return lines


# ------------------------------------------------------------------------------------------------ worst case


def worst_shift(n: int, weight: float) -> tuple[Tensor, Tensor]:
    """Clipped sums (clip 1) of one step of the shared model without and with the canary, all of it chosen.

    Every record is the number 1000, half of label 0 and half of label 1. A linear teacher that starts at zero and takes
    one step on all of them stays undecided, until the canary, one more of label 1, decides it. The shared model is
    where an undecided teacher leaves the records of label 1 without gradient: a decided one gives each a full bound.
    """
    sums = []
    target = 1 - weight / 2
    lean = math.log(target / (1 - target)) / 2000
    for b in (0, 1):
        x, y = torch.full((n + b, 1), 1000.0), torch.arange(n + b) % 2
        y[n:] = 1
        step = (functional.one_hot(y, 2) - 0.5).mean(0)
        sums.append(clipped_of(torch.tensor([[-lean], [lean]]), x, y, step.expand(n + b, 2), weight, 1.0))
    return sums[0], sums[1]


WORST = ((50, 1.0, 1.0), (50, 0.5, 1.0), (200, 1.0, 4.0))


def worst_case_section(runs: int) -> list[str]:
    lines = [
        f"| records | weight of the KL | sum moves by | runs | claimed epsilon | true epsilon | {HEADS} |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for n, weight, epsilon in WORST:
        without, within = worst_shift(n, weight)
        multiplier = gaussian_multiplier(epsilon, DELTA)
        coins = torch.rand(runs, generator=seeds.generator(n, "worst", "coins")) < 0.5
        noise = seeds.generator(n, "worst", "noise")
        seen = noised(torch.where(coins[:, None, None], within, without), multiplier, noise)
        scores = ((seen - without) * (within - without)).sum((1, 2)).double().numpy()
        shift = float((within - without).norm())
        true = gaussian_epsilon(shift / multiplier, DELTA)
        cells = bounds(scores, coins.numpy(), len(WORST)).cells(epsilon)
        lines.append(f"| {n} | {weight:g} | {shift:.1f} clip bounds | {runs} | {epsilon:g} | {true:.0f} | {cells} |")
    return lines


def section(share: float, draws: int) -> list[str]:
    """Tables of this file; ``share`` of the runs, for a quick look."""
    return [
        "### One step on digits",
        "",
        *one_step_section(draws),
        "",
        "### One step on chosen records",
        "",
        *worst_case_section(max(500, int(5000 * share))),
    ]
