"""What one round of every protocol costs, in cpu-seconds of one thread: ``python benchmarks/protocols.py``.

The setting is one that a public library was timed on: five clients share 1,347 scikit-learn digits, padded to 28x28;
a network of 582,026 parameters with 5x5 kernels; batch 32, one local epoch of SGD. The last columns set the time
against the operations of the round (convolutions and matrix products, forward and backward, counted) and the matrix
products that the same core reaches in the same minute. Protocols with public records use 100 of the digits left over,
one epoch too. A round is everything between two checkpoints: local training, compression, encoding, aggregation.

    python benchmarks/protocols.py [--rounds 3] [--only fedavg,fml,fedkd]
"""

from __future__ import annotations

import argparse
import time
from typing import ClassVar

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from fedprivacy import catalog, seeds
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.data.records import Dataset, Division
from fedprivacy.interfaces import Environment
from fedprivacy.models.convolution import PooledConvolution, channels_last
from fedprivacy.training.learner import Seed, Workbench
from fedprivacy.wire import Channel, MemoryStore

CLIENTS, TRAINED, PUBLIC = 5, 1347, 100
LIBRARY = {"fedavg": 1.83, "fml": 4.86, "fedkd": 9.45}
"""Cpu-seconds a round of TsingZ0/PFLlib in this setting on a core of about 75 GFLOP/s in matrix products."""
WANTED = {"fedavg": 3, "fml": 4, "fedkd": 8}
"""How many times less a round should cost."""


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


def environment(name: str, rounds: int) -> Environment:
    """Five clients with 269 or 270 digits each, and public records."""
    epochs = {
        field: 1 for field, info in CARDS[name].options.model_fields.items() if "epochs" in field and info.default
    }
    config = RunConfig.model_validate(
        {
            "protocol": name,
            "options": epochs,
            "clients": CLIENTS,
            "rounds": rounds,
            "data": {"dataset": "digits", "inclusion": 1.0},
            "training": {"model": "five", "optimizer": "sgd", "lr": 0.05, "local_epochs": 1},
        }
    )
    digits = load_digits()
    images = np.pad(digits.images * 15.9, ((0, 0), (10, 10), (10, 10))).astype(np.uint8)[:, None]
    order = seeds.numpy_generator(0, "benchmark", "digits").permutation(len(images))
    x, y = images[order], digits.target[order].astype(np.int64)
    members = tuple((part,) for part in np.array_split(np.arange(TRAINED), CLIENTS))
    public = (np.arange(TRAINED, TRAINED + PUBLIC),) * rounds
    nobody: np.ndarray[tuple[int], np.dtype[np.int64]] = np.array([], dtype=np.int64)
    division = Division(nobody, members, ((nobody,),) * CLIENTS, public, nobody)
    dataset = Dataset("digits", x, y, x[-300:], y[-300:], tuple(map(str, range(10))), "")

    def module(_: str, seed: Seed) -> nn.Module:
        with seeds.torch_scope(seed[0], *seed[1]):
            return FiveByFive()

    return Environment(config, 0, dataset, division, members, Workbench(module, config.training))


def cost(name: str, rounds: int) -> tuple[float, float]:
    """Cpu-seconds of the cheapest round but the first, and the operations of the first."""
    env = environment(name, rounds + 1)
    protocol = catalog.protocol(env.config)
    protocol.check(env)
    state = protocol.init(env).state
    best, operations = float("inf"), 0.0
    for number in range(1, rounds + 2):
        channel = Channel(number, MemoryStore())
        if number == 1:
            with FlopCounterMode(display=False) as counter:
                state = protocol.round(state, number, env, channel).state
            operations = float(counter.get_total_flops())
            continue
        start = time.process_time()
        state = protocol.round(state, number, env, channel).state
        best = min(best, time.process_time() - start)
    return best, operations


def matmul_rate(side: int = 1024, repeats: int = 10) -> float:
    """Floating-point operations a second of float32 matrix products on one thread, best of the repeats."""
    draw = seeds.generator(0, "benchmark", "matmul")
    a, b = torch.randn(side, side, generator=draw), torch.randn(side, side, generator=draw)
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(3):
            torch.mm(a, b)
        best = min(best, (time.process_time() - start) / 3)
    return 2 * side**3 / best


def main() -> None:
    """Print a row a protocol."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that are timed; the cheapest counts")
    parser.add_argument("--only", default=",".join(CARDS), help="protocols, separated by commas")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"matrix products of 1024 x 1024: {matmul_rate() / 1e9:.1f} GFLOP/s")
    print(f"{'protocol':16} {'cpu-s a round':>13} {'GFLOP':>7} {'GFLOP/s':>8} {'of matmul':>9}   against the library")
    for name in arguments.only.split(","):
        spent, operations = cost(name, arguments.rounds)
        rate = matmul_rate()
        reached = operations / spent
        line = f"{name:16} {spent:13.3f} {operations / 1e9:7.1f} {reached / 1e9:8.1f} {reached / rate:9.0%}"
        if name in LIBRARY:
            line += f"   {LIBRARY[name]} s there: {LIBRARY[name] / spent:.1f} times less (wanted {WANTED[name]})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
