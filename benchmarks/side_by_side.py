"""Models of shadow federations trained in turn and side by side: cpu-microseconds of a step of one model.

One client's private phase, as many times as there are federations: 400 candidates, so about 200 records by coins, batch
32, two passes, Adam. Loading weights, training and reading weights and moments count. The bound is what the matrix
products of a step take at the rate of a large product on the same core in the same minute. The largest difference is
that of any weight after the phase from what training in turn gives.

    python benchmarks/side_by_side.py [--models 4,16,80] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from measure import least, matmul_rate

from fedprivacy.config.run import TrainingConfig
from fedprivacy.models.build import build
from fedprivacy.study.abreast import MOST, NUMBERS
from fedprivacy.training.abreast import Fit, fitted_abreast
from fedprivacy.training.learner import Learner, Records, Workbench, label_loss

CASES: list[tuple[str, tuple[int, ...]]] = [
    ("mlp-small", (1, 8, 8)),
    ("mlp", (1, 8, 8)),
    ("mlp-small", (1, 28, 28)),
    ("mlp", (1, 28, 28)),
]
CANDIDATES, EPOCHS, BATCH, TRIALS = 400, 2, 32, 3
State = dict[str, torch.Tensor]


def bound(weights: list[int]) -> float:
    """Microseconds of the products of a step at the rate of 768 x 768; ``weights``: entries of each layer's matrix.

    Forward, the gradient of the weights, and that of the input but for the first layer: 2 B operations an entry each.
    """
    return 1e6 * 2 * BATCH * (3 * sum(weights) - weights[0]) / matmul_rate(768, TRIALS)


def measured(model: str, shape: tuple[int, ...], most: int, several: list[int]) -> dict[str, float | str]:
    config, draw = TrainingConfig(batch_size=BATCH), np.random.default_rng(0)
    benches = [Workbench(lambda n, s: build(n, shape, 10, "softmax", s[0], *s[1]), config) for _ in range(most)]
    start = benches[0].initial(model, (0, ("start",)))
    sizes = draw.binomial(CANDIDATES, 0.5, most).tolist()
    records = [Records(draw.integers(0, 256, (n, *shape), dtype=np.uint8), draw.integers(0, 10, n)) for n in sizes]

    def steps(number: int) -> int:
        return sum(EPOCHS * -(-size // BATCH) for size in sizes[:number])

    def left(learner: Learner) -> State:
        return learner.weights() | learner.moments()

    def in_turn(number: int) -> list[State]:
        found = []
        for m in range(number):
            learner = benches[m].learner(model, start)
            learner.fit(records[m], EPOCHS, (m, ("fit",)))
            found.append(left(learner))
        return found

    def together(number: int) -> list[State]:
        learners = [benches[m].learner(model, start) for m in range(number)]
        how = (label_loss, True, False, BATCH)
        fitted_abreast([Fit(one, records[m], EPOCHS, (m, ("fit",)), *how) for m, one in enumerate(learners)])
        return list(map(left, learners))

    number = min(8, most)
    wanted, seconds = least(lambda: in_turn(number), TRIALS)
    parameters = sum(weight.numel() for weight in start.values())
    row: dict[str, float | str] = {"model": model, "shape": "x".join(map(str, shape)), "parameters": parameters}
    row |= {
        "bound": bound([w.numel() for w in start.values() if w.ndim == 2]),
        "in turn": 1e6 * seconds / steps(number),
    }
    for many in several:
        found, seconds = least(lambda many=many: together(many), TRIALS)
        row[f"{many} at once"] = 1e6 * seconds / steps(many)
    pairs = [(a[name], b[name]) for a, b in zip(found, wanted, strict=False) for name in start]
    row["largest difference"] = max(float((a - b).abs().max()) for a, b in pairs)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="4,16,80")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    several = [int(word) for word in options.models.split(",")]
    rows = [measured(model, shape, max(several), several) for model, shape in CASES]
    heads = list(rows[0])
    print("| " + " | ".join([*heads, "chosen"]) + " |\n|" + "---|" * (len(heads) + 1))
    for row in rows:
        cells = [f"{row[head]:.1e}" if head == heads[-1] else f"{row[head]:.0f}" for head in heads[2:]]
        number = min(MOST, NUMBERS // int(row["parameters"]))
        chosen = f"{number} at once" if number > 1 else "in turn"
        print(f"| {row['model']} | {row['shape']} | " + " | ".join([*cells, chosen]) + " |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
