"""Every protocol on every data set, a few rounds at small sizes: does training stay finite, and does it learn?

    python benchmarks/every_data_set.py --data-dir FOLDER [--rounds 3] [--only fedavg,fml] [--out FILE.md]

FOLDER holds ``facemask/`` (train and test folders of images) and the files ``cifar10_10k.npz``,
``fashion_mnist_10k.npz``, ``location30.npz`` and ``adult.npz``; what is missing is left out and named. The embedded
digits need nothing. Default settings of protocols and training, but for fewer records and rounds, and fusions of at
most 200 steps. Clients: four, under a partition that is skewed (Dirichlet 0.1) or has one class each (shards). On
images also
convolutional and mixed architectures, where a protocol takes them. A cell is the mean accuracy on 400 test records, in
per cent; "refused" is one line before training where a protocol has to have one architecture. Whatever else is no
number is told at the end, and the script ends with 1.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedprivacy import catalog, seeds
from fedprivacy.config.base import UsageError
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.federation import engine
from fedprivacy.federation.environment import Environment
from fedprivacy.study.job import environment
from fedprivacy.training.learner import Diverged

CLIENTS, TESTED = 4, 400
SHORT: dict[str, dict[str, Any]] = {"feddf": {"steps": 200, "patience": 100}}
"""Options that only shorten."""
SKEWED = {"partition": "dirichlet", "alpha": 0.1}
ONE_CLASS = {"partition": "shards", "classes_per_client": 1}


INTRODUCTION = """# Every protocol on every data set

Four clients, 60 private records each (40 of the last row), 2 rounds, otherwise default settings; Dirichlet(0.1) over
classes, or one class a client. Mean accuracy on 400 test records in per cent. Two rounds on so little say nothing about
how good a protocol is; they say that no loss and no weight becomes infinite or undefined, and that what cannot work
is refused before training: one architecture is needed wherever whole models are averaged.

Regenerate: `python benchmarks/every_data_set.py --data-dir FOLDER --rounds 2 --out reports/protocol_checks.md`.
"""


@dataclass(frozen=True)
class Case:
    """One row: a data set, how it is divided, and with which models."""

    title: str
    data: Mapping[str, Any]
    training: Mapping[str, Any]
    mixed: bool = False


def cases(folder: Path | None) -> list[Case]:
    """The rows for which there are data."""
    found = [
        Case("mnist5k", {"dataset": "mnist5k", **SKEWED}, {}),
        Case("mnist5k, one class", {"dataset": "mnist5k", **ONE_CLASS}, {}),
        Case("digits, cnn", {"dataset": "digits", **SKEWED}, {"model": "cnn"}),
        Case("mnist5k, cnn and mlp", {"dataset": "mnist5k", **SKEWED}, {"client_models": ("cnn", "mlp")}, True),
    ]
    files: tuple[tuple[str, str, dict[str, Any], dict[str, Any]], ...] = (
        ("fashion_mnist_10k.npz", "fashion, cnn", SKEWED, {"model": "cnn"}),
        ("cifar10_10k.npz", "cifar10, cnn", SKEWED, {"model": "cnn"}),
        ("location30.npz", "location30", SKEWED, {}),
        ("location30.npz", "location30, one class", ONE_CLASS, {}),
        ("adult.npz", "adult", {**SKEWED, "limit": 4000}, {}),
        ("adult.npz", "adult, sigmoid", {**ONE_CLASS, "limit": 4000}, {"output": "sigmoid"}),
    )
    for file, title, data, training in files:
        if folder is not None and (folder / file).exists():
            found.append(Case(title, {"dataset": "npz", "data_dir": str(folder / file), **data}, training))
    if folder is not None and (folder / "facemask").exists():
        faces = {"dataset": "facemask", "data_dir": str(folder / "facemask"), **SKEWED, "limit": 1000}
        found.append(Case("facemask, 32x32", {**faces, "image_size": 32}, {}))
        paper = {"model": "gupta-cnn", "output": "sigmoid", "adam_eps": 1e-7}
        found.append(Case("facemask, gupta-cnn", {**faces, "candidates": 40}, paper))
    return found


def configuration(protocol: str, case: Case, rounds: int) -> RunConfig:
    """A small run."""
    sizes = {"candidates": 60, "inclusion": 1.0, "auxiliary": 0, "public_size": 60, "public_set": "static"}
    return RunConfig.model_validate(
        {
            "protocol": protocol,
            "options": SHORT.get(protocol, {}),
            "clients": CLIENTS,
            "rounds": rounds,
            "data": {**sizes, **case.data},
            "training": dict(case.training),
        }
    )


def prepared(case: Case, rounds: int) -> Environment:
    """The records of a case, divided; its test set is cut to :data:`TESTED` records."""
    env, _ = environment(configuration("local", case, rounds), 0, None)
    whole = env.dataset
    chosen = seeds.numpy_generator(0, "benchmark", "tested").permutation(len(whole.y_test))[:TESTED]
    dataset = replace(whole, x_test=whole.x_test[chosen], y_test=whole.y_test[chosen])
    return replace(env, dataset=dataset)


def outcome(protocol: str, case: Case, env: Environment) -> tuple[str, bool]:
    """What a run came to, and whether that is all right."""
    config = configuration(protocol, case, env.rounds)
    part, env = catalog.protocol(config), replace(env, config=config)
    try:
        with tempfile.TemporaryDirectory() as place:
            done = engine.run(part, env, Path(place))
    except UsageError as error:
        return f"refused: {error}", case.mixed and not CARDS[protocol].heterogeneous_models
    except Diverged as error:
        return str(error), False
    losses = [row.loss for row in done.history]
    weights = [t for content in done.state.parts.values() for t in content.values() if t.is_floating_point()]
    if not all(map(math.isfinite, losses)) or not all(bool(torch.isfinite(t).all()) for t in weights):
        return "not finite", False
    tested = engine.tested(part.models(done.state, env), env)
    return f"{100 * np.mean([row['accuracy'] for row in tested.values()]):.0f}", True


def main() -> int:
    """Print a row a data set; 1 where a protocol fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of data sets that are not embedded")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(CARDS), help="protocols, separated by commas")
    parser.add_argument("--cases", default="", help="only rows whose title holds this text")
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = arguments.only.split(",")
    lines = [f"| data set | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    print("\n".join(lines), flush=True)
    failures: list[str] = []
    for case in cases(arguments.data_dir):
        if arguments.cases not in case.title:
            continue
        env, cells = prepared(case, arguments.rounds), []
        for protocol in names:
            text, fine = outcome(protocol, case, env)
            cells.append("refused" if text.startswith("refused") and fine else text if fine else "failed")
            if not fine:
                failures.append(f"{protocol}, {case.title}: {text}")
        lines.append(f"| {case.title} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    outcomes = "\n".join(["Not all right:", *failures]) if failures else "All finite, none failed."
    print(outcomes, file=sys.stderr)
    if arguments.out:
        arguments.out.write_text("\n".join([INTRODUCTION, *lines, "", outcomes]) + "\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
