"""Membership in one over-fitted federation: planted probes, passive surrogates, and averaged weights (setup P).

Fashion-MNIST, five clients with 400 candidates each, twelve labelled public folds of 100; perceptron 784-256-10 from a
common start, Adam 1e-3, batch 32, five local epochs, then five epochs on the fold with a fresh Adam. Federated
averaging is the same without folds, with equal weights and a fresh Adam each round. References: the other clients of
the same federation, no extra training.

    python benchmarks/setup_p.py --data fashion_mnist_10k.npz --runs runs/setup_p --out reports/setup_p.md
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from fedprivacy import folder
from fedprivacy.config.base import build
from fedprivacy.config.run import RunConfig
from fedprivacy.judge.result import RunResult, from_json
from fedprivacy.study.run import Plan, execute

SHARED: dict[str, Any] = {
    "clients": 5,
    "rounds": 12,
    "training": {"local_epochs": 5, "optimizer_state": "fresh"},
}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "mutual": {"protocol": "mutual", "options": {"public_epochs": 5}},
    "FedAvg": {"protocol": "fedavg", "options": {"weighting": "uniform"}},
}
ADVERSARIES = {"mutual": ("active-server", "server"), "FedAvg": ("server", "client-0")}
FIGURES: dict[tuple[str, str, str], str] = {
    ("mutual", "server (active)", "ratio"): ".776 ± .002",
    ("mutual", "server (honest-but-curious)", "loss"): ".585 ± .007",
    ("mutual", "server (honest-but-curious)", "coop-lira"): ".687 ± .006",
    ("mutual", "server (honest-but-curious)", "ratio"): ".682 ± .007",
    ("FedAvg", "server (honest-but-curious)", "loss"): ".595 ± .006",
    ("FedAvg", "server (honest-but-curious)", "coop-lira"): ".612",
    ("FedAvg", "server (honest-but-curious)", "ratio"): ".661 ± .006",
    ("FedAvg", "client-0 (honest-but-curious)", "loss"): ".556 ± .006",
}
"""What a prototype of the same formulas gave on draws of its own."""
ACCURACY = {"mutual": ".780", "FedAvg": ".804"}


def configuration(name: str, data: Path, seed: int) -> RunConfig:
    """One protocol on one seed."""
    settings = {
        **SHARED,
        **PROTOCOLS[name],
        "seed": seed,
        "data": {"dataset": "npz", "data_dir": str(data), "public_size": 100, "auxiliary": 600},
        "attack": {
            "attacks": ("membership",),
            "adversaries": ADVERSARIES[name],
            "statistics": ("loss", "ratio", "coop-lira"),
        },
    }
    return build(RunConfig, settings, "setup P")


def result_of(name: str, data: Path, runs: Path, seed: int, workers: int) -> RunResult:
    """The stored result, or a new one."""
    where = runs / f"{name.lower()}-{seed}"
    if (where / "result.json").exists():
        return from_json(folder.read_json(where / "result.json"))
    return execute(configuration(name, data, seed), Plan(where, workers, resume=True, baselines=False))


def cell(values: list[float]) -> str:
    """Mean and standard error over seeds."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / math.sqrt(len(values)):.3f}"


def report(data: Path, runs: Path, seeds: int, workers: int) -> str:
    """The table, as Markdown."""
    lines = [
        "# Membership in one over-fitted federation (setup P)",
        "",
        "Fashion-MNIST (MIT licence, Xiao et al. 2017), 5 clients with 400 candidates each, 12 rounds. AUC over all",
        f"clients, mean ± standard error over {seeds} seeds; references are the other clients of the same federation.",
        "In brackets: an independent prototype of the same formulas on draws of its own. Chance: 0.5.",
        "",
        "| protocol | adversary | observes | statistic | AUC |",
        "|---|---|---|---|---|",
    ]
    accuracies = []
    for name in PROTOCOLS:
        results = [result_of(name, data, runs, seed, workers) for seed in range(seeds)]
        keys = dict.fromkeys(
            (f.adversary, f.observation, f.statistic)
            for f in results[0].findings
            if f.metric == "AUC" and f.target == "all clients" and f.value is not None
        )
        for adversary, observation, statistic in keys:
            if statistic.startswith(("best of", "null")):
                continue
            values = [
                float(f.value or np.nan)
                for r in results
                for f in r.findings
                if (f.adversary, f.observation, f.statistic, f.metric, f.target)
                == (adversary, observation, statistic, "AUC", "all clients")
            ]
            figure = FIGURES.get((name, adversary, statistic))
            text = cell(values) + (f" ({figure})" if figure else "")
            lines.append(f"| {name} | {adversary} | {observation} | {statistic} | {text} |")
        accuracy = [r.utility["test_accuracy"].mean for r in results]
        accuracies.append(f"{name} {cell(accuracy)} ({ACCURACY[name]})")
    lines += ["", f"Test accuracy: {'; '.join(accuracies)}.", ""]
    lines += ["Regenerate: `python benchmarks/setup_p.py --data fashion_mnist_10k.npz --runs runs/setup_p --out"]
    return "\n".join([*lines, "reports/setup_p.md`.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="npz with x_train, y_train, x_test, y_test")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    text = report(options.data, options.runs, options.seeds, options.workers)
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
