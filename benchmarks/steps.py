"""One training step of each model (forward, backward, Adam; batch 32) beside the rate of matrix products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from measure import Cell, Figures, cpu, matmul_rate, peak_apart
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.training.learner import Learner, Records, Seed, Workbench

SHAPES = (
    ("mlp-small", (1, 8, 8)),
    ("mlp", (1, 28, 28)),
    ("cnn", (1, 8, 8)),
    ("cnn", (1, 28, 28)),
    ("cnn", (3, 32, 32)),
    ("lenet-sigmoid", (3, 32, 32)),
    ("gupta-cnn", (3, 50, 50)),
)
BATCH, SECONDS, FEW = 32, 0.2, 10


def cost(model: str, shape: tuple[int, ...]) -> Figures:
    """Mean of the steps of epochs, each a fifth of a second or more; memory of a learner and one epoch of few steps."""

    def made(name: str, seed: Seed) -> nn.Module:
        return build(name, shape, 10, "softmax", seed[0], *seed[1])

    draw = np.random.default_rng(0)
    bench = Workbench(made, TrainingConfig(batch_size=BATCH))

    def ready() -> Learner:
        return bench.learner(model, bench.initial(model, (0, ("benchmark",))))

    def epoch(learner: Learner, steps: int) -> Callable[[], object]:
        rows = BATCH * steps
        records = Records(draw.integers(0, 256, (rows, *shape), dtype=np.uint8), draw.integers(0, 10, rows))
        return lambda: learner.fit(records, 1, (0, ("benchmark", "fit")))

    memory = peak_apart(lambda: epoch(ready(), FEW)())
    learner = ready()
    with FlopCounterMode(display=False) as counter:
        epoch(learner, 1)()
    steps = int(np.clip(SECONDS / max(cpu(epoch(learner, 1)), 1e-5), 2, 500))
    turns = [(matmul_rate(), cpu(epoch(learner, steps)) / steps) for _ in range(2)]
    rate, spent = (float(np.mean(column)) for column in zip(*turns, strict=True))
    operations = float(counter.get_total_flops())
    share = operations / spent / rate
    return {"cpu_s": spent, "memory_mb": memory, "gflop": operations / 1e9, "of_matmul": share}


def cells(library: Path | None) -> list[Cell]:
    """One a model."""
    return [
        Cell(f"step of {model}, {'x'.join(map(str, shape))}", partial(cost, model, shape)) for model, shape in SHAPES
    ]
