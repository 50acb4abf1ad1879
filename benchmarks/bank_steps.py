"""A whole command with a bank: cpu-microseconds that a step of one shadow's training takes in it, and all the rest.

    python benchmarks/bank_steps.py [--shadows 80] [--exact]

Digits of 8x8 pixels, `mlp-small`, five clients, 150 candidates each, so about 75 records by coins, batch 32, two passes
a round, Adam. A step is one batch of one client of one federation; loading weights, training and reading weights and
moments count. With ``--exact`` federations are trained in turn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch

import fedprivacy
from fedprivacy.study import abreast
from fedprivacy.training.abreast import Fit, answered
from fedprivacy.training.learner import Learner, Records
from fedprivacy.training.passes import batches

SETTINGS: dict[str, Any] = {"dataset": "digits", "model": "mlp-small", "candidates": 150, "auxiliary": 150}
spent, steps = 0.0, 0


def together(asked: Sequence[Any]) -> list[Any]:
    """What several federations at once ask for, on the clock."""
    global spent, steps
    start = time.process_time()
    found = answered(asked)
    spent += time.process_time() - start
    steps += sum(
        len(batches(len(one.records), one.batch_size, one.even)) * one.epochs for one in asked if isinstance(one, Fit)
    )
    return found


def alone(fit: Any) -> Any:
    """One client's training, on the clock."""

    def timed(learner: Learner, records: Records, epochs: int, *rest: Any, **more: Any) -> Any:
        global spent, steps
        start = time.process_time()
        found = fit(learner, records, epochs, *rest, **more)
        spent += time.process_time() - start
        steps += len(batches(len(records), learner.config.batch_size, False)) * epochs
        return found

    return timed


def main() -> None:
    """One command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shadows", type=int, default=80)
    parser.add_argument("--exact", action="store_true", help="federations in turn")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.exact:
        Learner.fit = alone(Learner.fit)  # type: ignore[method-assign]
    else:
        abreast.answered = together
    start = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        how: dict[str, Any] = {**SETTINGS, "out": out, "workers": 1, "baselines": False, "exact": given.exact}
        fedprivacy.run("fedavg", attack="membership", shadows=given.shadows, public_size=16, **how)
    whole = time.process_time() - start
    print(json.dumps({"steps": steps, "us_a_step": 1e6 * spent / steps, "training_s": spent, "whole_s": whole}))


if __name__ == "__main__":
    main()
