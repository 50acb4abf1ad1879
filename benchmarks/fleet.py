"""Models trained one after the other against models stacked: CPU seconds of a step, and whether the choice is right.

Multi-layer perceptrons with 256 hidden units and the small CNN, on random records; the same members both ways.

    python benchmarks/fleet.py
    python benchmarks/fleet.py --device cuda
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from fedprivacy import seeds
from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.training.fleet import Member, pays, train_fleet
from fedprivacy.training.learner import Records, Workbench
from fedprivacy.training.losses import cross_entropy

SHAPES: list[tuple[str, tuple[int, ...], int]] = [
    ("mlp", (30,), 2),
    ("mlp", (1, 8, 8), 10),
    ("mlp", (105,), 2),
    ("mlp", (446,), 30),
    ("mlp", (1, 28, 28), 10),
    ("cnn", (1, 8, 8), 10),
]
BATCHES, MEMBERS, STEPS = (8, 32, 64), (5, 16), 40
SLACK = 1.1
"""A choice that costs less than a tenth more than the other one is called right."""


def measure(
    model: str, shape: tuple[int, ...], classes: int, batch: int, number: int, stacked: bool, device: str
) -> float:
    """Seconds (of the CPU, or of the clock on a GPU) of one step of one model."""
    config = TrainingConfig(batch_size=batch)
    bench = Workbench(lambda name, seed: build(name, shape, classes, "softmax", seed[0], *seed[1]), config, device)
    draw = seeds.numpy_generator(0, "fleet", "records")
    rows = batch * STEPS
    members = [
        Member(
            bench.initial(model, (member, ("start",))),
            Records(draw.random((rows, *shape), dtype=np.float32), draw.integers(0, classes, rows)),
            (member, ("fleet",)),
        )
        for member in range(number)
    ]
    clock = time.process_time if device == "cpu" else time.perf_counter
    best = float("inf")
    for _ in range(3):
        start = clock()
        train_fleet(bench, model, members, 1, lambda logits, labels, _: cross_entropy(logits, labels), stacked)
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return best / STEPS / number


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(1)
    print(
        f"{'model':22} {'parameters':>10} {'batch':>5} {'models':>6} {'alone':>9} {'stacked':>9} {'ratio':>6}  choice"
    )
    for model, shape, classes in SHAPES:
        module = build(model, shape, classes, "softmax", 0, "size")
        size = sum(weight.numel() for weight in module.parameters())
        chosen = pays(module, torch.device(device))
        for batch in BATCHES:
            for number in MEMBERS:
                alone, stacked = (measure(model, shape, classes, batch, number, way, device) for way in (False, True))
                taken, other = (stacked, alone) if chosen else (alone, stacked)
                words = f"{'stacked' if chosen else 'alone'}, {'right' if taken < SLACK * other else 'WRONG'}"
                print(
                    f"{model + ' ' + 'x'.join(map(str, shape)):22} {size:10,} {batch:5} {number:6} "
                    f"{1e6 * alone:6.0f} us {1e6 * stacked:6.0f} us {alone / stacked:6.2f}  {words}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
