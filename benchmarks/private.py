"""A private epoch beside a plain one and one by Opacus' hooks, taken in turn: DP-SGD by the learner."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from measure import Cell, Figures, in_turn
from torch import nn

from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import Learner, Records, Seed, Workbench

RECORDS, BATCH, TURNS = 512, 32, 2
SEED: Seed = (0, ("benchmark",))
SHAPES = (("mlp", (1, 28, 28)), ("cnn", (1, 28, 28)))


def cost(model: str, shape: tuple[int, ...]) -> Figures:
    """Cpu-seconds of a private epoch, and how many times the others' they are."""

    def made(name: str, seed: Seed) -> nn.Module:
        return build(name, shape, 10, "softmax", seed[0], *seed[1])

    bench = Workbench(made, TrainingConfig(batch_size=BATCH))
    start = bench.initial(model, SEED)
    draw = np.random.default_rng(0)
    records = Records(
        draw.integers(0, 256, (RECORDS, *shape), dtype=np.uint8), draw.integers(0, 10, RECORDS).astype(np.int64)
    )

    def learner() -> Learner:
        return bench.learner(model, start)

    def private(engine: str) -> None:
        DpSgd(1.0, 1.0, BATCH, engine=engine)(learner(), records, 1, SEED, nominal=RECORDS)  # type: ignore[arg-type]

    plain, ours, opacus = in_turn(
        [lambda: learner().fit(records, 1, SEED), lambda: private("auto"), lambda: private("opacus")], TURNS
    )
    return {"cpu_s": ours, "plain_s": plain, "opacus_s": opacus}


def cells(library: Path | None) -> list[Cell]:
    """One a model."""
    return [
        Cell(f"DP-SGD, {model} {'x'.join(map(str, shape))}", partial(cost, model, shape)) for model, shape in SHAPES
    ]
