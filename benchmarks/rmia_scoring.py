"""RMIA scoring of 20,000 candidates against 10,000 population records: CPU time and peak memory.

Two measurements: from the two vectors of ratios to scores, which is the part that a naive implementation does with a
20,000 x 10,000 matrix; and the whole statistic from log-probabilities of target and references.

    python benchmarks/rmia_scoring.py
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from fedprivacy.adversary.threat import Float, References, Signals
from fedprivacy.attacks.membership.logits import log_softmax
from fedprivacy.attacks.membership.statistics.rmia import Rmia, beaten, lexicographic


def measure(work: Callable[[], object], repeats: int = 5) -> tuple[float, float]:
    """Best CPU milliseconds of ``repeats`` runs, and peak megabytes allocated by one more."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return min(times), peak


def in_blocks(own: Float, others: Float, gamma: float) -> Float:
    """The definition, 200 candidates at a time."""
    limit = own - np.log(gamma)
    return np.concatenate(
        [(others[None, :] <= limit[start : start + 200, None]).sum(axis=1) for start in range(0, len(own), 200)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--candidates", type=int, default=20_000)
    parser.add_argument("--population", type=int, default=10_000)
    parser.add_argument("--references", type=int, default=4)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    n, m, s, c = options.candidates, options.population, options.references, options.classes
    draw = np.random.default_rng(0)
    own, others = draw.normal(size=n), draw.normal(size=m)
    if not np.array_equal(beaten(own, others, 2.0), in_blocks(own, others, 2.0)):
        raise SystemExit("the sort and the definition disagree")
    seen = np.ones((1, n), dtype=np.bool_)
    signals = Signals(
        log_softmax(3 * draw.normal(size=(1, n, c))),
        seen,
        seen,
        draw.integers(0, c, n),
        References(
            log_softmax(3 * draw.normal(size=(s, 1, n, c))),
            draw.random((s, n)) < 0.5,
            log_softmax(3 * draw.normal(size=(s, 1, m, c))),
        ),
        log_softmax(3 * draw.normal(size=(1, m, c))),
        draw.integers(0, c, m),
    )
    rows: list[tuple[str, Callable[[], object]]] = [
        ("ratios to scores, one sort", lambda: lexicographic(beaten(own, others, 2.0), own, m)),
        ("ratios to scores, the definition in blocks", lambda: in_blocks(own, others, 2.0)),
        (f"whole statistic, {s} references, {c} classes", lambda: Rmia().score(signals)),
    ]
    print(f"{n:,} candidates, {m:,} population records")
    for name, work in rows:
        spent, peak = measure(work)
        print(f"{name:45s} {spent:9.1f} cpu-ms {peak:9.1f} MB peak")


if __name__ == "__main__":
    main()
