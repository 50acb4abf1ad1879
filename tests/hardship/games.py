"""Four small games on the library's own code path, each with the epsilon that its accountant gives it.

A game calls what a client or a trusted server calls (:class:`fedprivacy.training.dp_sgd.DpSgd` round after round, the
defenses dp-fedavg and gaussian on what leaves) on one of two neighbouring inputs, and returns all that leaves. Noise
comes from named seeds, a new one for every call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from fedprivacy.config.run import TrainingConfig
from fedprivacy.defenses.clip import Clip
from fedprivacy.defenses.dp_fedavg import DpFedAvg, DpFedAvgAggregate
from fedprivacy.defenses.gaussian import Gaussian
from fedprivacy.privacy.calibration import dp_sgd_multiplier, gaussian_multiplier
from fedprivacy.training.dp_sgd import DpSgd
from fedprivacy.training.learner import Learner, Records
from fedprivacy.wire.payload import Update
from fedprivacy.wire.payloads import Predictions

EPSILON, DELTA, STEPS = 1.0, 1e-5, 2
FEATURES, CLASSES = 4, 2
ROOTS: Iterator[int] = itertools.count()
"""Roots of the calls; no two share their noise."""


@dataclass(frozen=True)
class Game:
    """``play(input)`` for one of ``inputs``; the accountant says :data:`EPSILON` at :data:`DELTA` of it."""

    name: str
    play: Callable[[Any], Any]
    inputs: tuple[Any, Any]
    relation: str


def line(directions: list[int], labels: list[int], size: float | np.ndarray = 10.0) -> Records:
    """Records far out on an axis each: their gradients are clipped, and those of two axes are orthogonal."""
    x = np.zeros((len(directions), FEATURES), dtype=np.float32)
    x[np.arange(len(directions)), directions] = size
    return Records(x, np.array(labels, dtype=np.int64))


OTHERS = line([1, 2, 3], [0, 1, 0])
CANARY = line([0], [1])


NET = nn.Linear(FEATURES, CLASSES, bias=False)
CONFIG = TrainingConfig(optimizer="sgd", lr=1e-3)


def training(
    without: Records, with_canary: Records, rate: float = 0.5, bound: float = 1.0, told: float | None = None
) -> Game:
    """Private training over two steps on the same records; ``told``: the rate that is accounted for, if another.

    What leaves: the noised sum of the first step, and by how much that of the second differs from it.
    """
    nominal = len(with_canary)
    multiplier = dp_sgd_multiplier(EPSILON, DELTA, told or rate, STEPS)
    fit = DpSgd(multiplier, bound, round(rate * nominal))
    epochs = STEPS // fit.steps(nominal)

    def play(records: Records) -> np.ndarray:
        with torch.no_grad():
            NET.weight.zero_()
        learner = Learner(NET, CONFIG, torch.device("cpu"))
        seen = [NET.weight.detach().double().numpy().copy()]
        learner.optimizer.after.append(lambda: seen.append(NET.weight.detach().double().numpy().copy()))
        fit(learner, records, epochs, (next(ROOTS), ("mutants",)), nominal=nominal)
        first, second = ((before - after).reshape(-1) for before, after in itertools.pairwise(seen))
        return np.concatenate([first, second - first]) / (CONFIG.lr * bound)

    return Game("private training", play, (without, with_canary), "add-remove")


def predictions(rows: int = 20) -> Game:
    """Noise on a whole matrix of predictions; the neighbours are two opposite ones."""
    defense = Gaussian(0, Clip("logits", 0.0, 1.0, False), gaussian_multiplier(EPSILON, DELTA), "record")

    def play(sign: np.ndarray) -> np.ndarray:
        matrix = Predictions(torch.full((rows, 1), float(sign)), "logits")
        sent = replace(defense, root=next(ROOTS)).outgoing(matrix, "client-0", 1)
        return sent.values.double().numpy()  # type: ignore[union-attr]

    return Game("noise on predictions", play, (np.array(-1.0), np.array(1.0)), "replace-one")


def updates(first: tuple[float, ...], second: tuple[float, ...]) -> Game:
    """A client's update under dp-fedavg, noised before it leaves."""
    defense = DpFedAvg(0, 1.0, gaussian_multiplier(EPSILON, DELTA))

    def play(values: np.ndarray) -> np.ndarray:
        sent = replace(defense, root=next(ROOTS)).outgoing_update(update(values), "client-0", 1)
        return sent.tensors["w"].double().numpy()

    return Game("clients' updates", play, (np.array(first), np.array(second)), "replace-one")


def aggregate(clients: int = 5) -> Game:
    """The mean of updates at a trusted server; client 0 takes part or not."""
    defense = DpFedAvgAggregate(0, 1.0, gaussian_multiplier(EPSILON, DELTA))

    def play(size: np.ndarray) -> np.ndarray:
        rooted = replace(defense, root=next(ROOTS))
        own = {f"client-{k}": update(np.array([float(size) if k == 0 else 0.0])) for k in range(clients)}
        sent = {name: rooted.outgoing(value, name, 1) for name, value in own.items()}
        mean = rooted.combined(sent, SimpleNamespace(round=1))  # type: ignore[arg-type]
        return mean.tensors["w"].double().numpy()  # type: ignore[union-attr]

    return Game("mean of updates", play, (np.array(0.0), np.array(10.0)), "add-remove")


def update(values: np.ndarray) -> Update:
    return Update({"w": torch.as_tensor(values, dtype=torch.float64)})
