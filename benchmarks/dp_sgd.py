"""What private training costs beside plain training, in cpu-seconds of one thread: ``python benchmarks/dp_sgd.py``.

Both run through the learner on the same digits-sized records, five epochs; the best of several runs counts, the two
kinds taken in turn so that other work on the machine hits both. The last column is the same through Opacus' hooks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import Learner, Records, Seed, Workbench

LIMIT = 2.5
"""The most that private training of the small CNN may cost."""
RECORDS, BATCH, EPOCHS = 512, 32, 1


def seconds(work: Callable[[], object]) -> float:
    """Cpu-seconds of ``work``."""
    start = time.process_time()
    work()
    return time.process_time() - start


def ratios(model: str, shape: tuple[int, ...], repeats: int) -> tuple[float, float, float]:
    """Plain seconds an epoch, and private over plain: by the recording, and by Opacus."""

    def made(name: str, seed: Seed) -> nn.Module:
        return build(name, shape, 10, "softmax", seed[0], *seed[1])

    bench = Workbench(made, TrainingConfig(batch_size=BATCH))
    start = bench.initial(model, (0, ("benchmark",)))
    draw = np.random.default_rng(0)
    records = Records(
        draw.integers(0, 256, (RECORDS, *shape), dtype=np.uint8), draw.integers(0, 10, RECORDS).astype(np.int64)
    )

    def learner() -> Learner:
        return bench.learner(model, start)

    def private(engine: str) -> Callable[[], object]:
        fit = DpSgd(1.0, 1.0, BATCH, engine=engine)  # type: ignore[arg-type]
        return lambda: fit(learner(), records, EPOCHS, (0, ("benchmark",)), nominal=RECORDS)

    works = (lambda: learner().fit(records, EPOCHS, (0, ("benchmark",))), private("auto"), private("opacus"))
    best = [float("inf")] * 3
    for _ in range(repeats):
        best = [min(b, seconds(work)) for b, work in zip(best, works, strict=True)]
    return best[0], best[1] / best[0], best[2] / best[0]


def main() -> None:
    """Print one row a model; the exit status says whether the small CNN is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print("model      shape        plain s/epoch   private   through Opacus")
    slow = False
    for model, shape in (("mlp", (1, 28, 28)), ("cnn", (1, 28, 28)), ("cnn", (3, 32, 32)), ("gupta-cnn", (3, 50, 50))):
        plain, ours, opacus = ratios(model, shape, repeats)
        print(f"{model:10} {'x'.join(map(str, shape)):12} {plain:13.3f} {ours:9.2f} {opacus:16.2f}", flush=True)
        slow |= model == "cnn" and ours > LIMIT
    raise SystemExit(1 if slow else 0)


if __name__ == "__main__":
    main()
