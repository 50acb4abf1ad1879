"""The federations that are timed: digits or noise, cut into equal parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.data.records import Dataset, Division
from fedprivacy.federation.environment import Environment
from fedprivacy.models.convolution import PooledConvolution, channels_last
from fedprivacy.training.learner import Seed, Workbench

CLIENTS, TRAINED, PUBLIC = 5, 1347, 100
SHORT = {"feddf": {"steps": 10}}
"""Options that shorten."""


class FiveByFive(nn.Module):
    """Two 5x5 convolutions (32, 64) with pooling, dense 512: 582,026 parameters on 1x28x28 with ten classes."""

    deep: ClassVar[tuple[str, ...]] = ("dense.", "head.")
    feature_size: ClassVar[int] = 512

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = PooledConvolution(1, 32, 5), PooledConvolution(32, 64, 5)
        self.dense, self.head = nn.Linear(1024, 512), nn.Linear(512, 10)

    def features(self, x: Tensor) -> Tensor:
        """[B, 1, 28, 28] -> [B, 512]."""
        x = F.relu(self.conv2(F.relu(self.conv1(channels_last(x)))))
        return F.relu(self.dense(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, 28, 28] -> logits [B, 10]."""
        logits: Tensor = self.head(self.features(x))
        return logits


class Perceptron(nn.Module):
    """784-``hidden``-10."""

    relu_chain: ClassVar[tuple[str, ...]] = ("hidden", "head")

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(784, hidden), nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 1, 28, 28] -> logits [B, 10]."""
        logits: Tensor = self.head(F.relu(self.hidden(x.flatten(1))))
        return logits


def digits(name: str, rounds: int) -> Environment:
    """Five clients with 269 or 270 of scikit-learn's digits each, padded to 28x28, and a hundred public ones."""
    given = load_digits()
    images = np.pad(given.images * 15.9, ((0, 0), (10, 10), (10, 10))).astype(np.uint8)[:, None]
    order = seeds.numpy_generator(0, "benchmark", "digits").permutation(len(images))
    members = tuple((part,) for part in np.array_split(np.arange(TRAINED), CLIENTS))
    public = np.arange(TRAINED, TRAINED + PUBLIC)
    return _environment(name, rounds, images[order], given.target[order], members, public, FiveByFive)


def noise(clients: int, rounds: int, hidden: int, records: int = 64) -> Environment:
    """FedAvg of perceptrons on random images, ``records`` a client."""
    draw = seeds.numpy_generator(0, "benchmark", "noise")
    images = draw.integers(0, 256, (clients * records + 100, 1, 28, 28), dtype=np.uint8)
    members = tuple((part,) for part in np.arange(clients * records).reshape(clients, records))
    labels = draw.integers(0, 10, len(images))
    return _environment("fedavg", rounds, images, labels, members, members[0][0][:0], lambda: Perceptron(hidden))


def options(name: str) -> dict[str, Any]:
    """A protocol's defaults, with one epoch wherever it trains, and shortened."""
    fields = CARDS[name].options.model_fields.items()
    return {**{field: 1 for field, info in fields if "epochs" in field and info.default}, **SHORT.get(name, {})}


def _environment(
    name: str,
    rounds: int,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    members: tuple[tuple[NDArray[np.int64]], ...],
    public: NDArray[np.int64],
    made: Callable[[], nn.Module],
) -> Environment:
    config = RunConfig.model_validate(
        {
            "protocol": name,
            "options": options(name),
            "clients": len(members),
            "rounds": rounds,
            "data": {"dataset": "digits", "inclusion": 1.0},
            "training": {"model": "five", "optimizer": "sgd", "lr": 0.05, "local_epochs": 1},
        }
    )
    y = labels.astype(np.int64)
    nobody = public[:0]
    division = Division(nobody, members, ((nobody,),) * len(members), (public,) * rounds, nobody)
    dataset = Dataset("digits", images, y, images[-100:], y[-100:], tuple(map(str, range(10))), "")

    def module(_: str, seed: Seed) -> nn.Module:
        with seeds.torch_scope(seed[0], *seed[1]):
            return made()

    return Environment(FederationSettings.of(config), 0, dataset, division, members, Workbench(module, config.training))
