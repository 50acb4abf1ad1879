"""What one round of every protocol costs, in cpu-seconds of one thread: ``python benchmarks/protocols.py``.

The setting is one that a public library was timed on: five clients share 1,347 scikit-learn digits, padded to 28x28;
a network of 582,026 parameters with 5x5 kernels; batch 32, one local epoch of SGD. The time is set against the
operations of the round (convolutions and matrix products, forward and backward, counted) and the matrix products that
the same core reaches in the same minute: at a share of 1 there is nothing left to gain but fewer operations.
Protocols with public records use 100 of the digits left over, one epoch too; a fusion of feddf takes 100 steps. A
round is everything between two checkpoints: local training, compression, encoding, aggregation. The mean counts.

The last columns compare with `plain_rounds.py`, the same rounds plainly written, timed in the same call and the same
way; a plain round ends with a look at all records, which ours do not have, so its time without that look is given too.

    python benchmarks/protocols.py [--rounds 3] [--only fedavg,fml,fedkd] [--out FILE.md] [--json FILE.json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

import numpy as np
import plain_rounds
import torch
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from fedprivacy import catalog, seeds
from fedprivacy.config.federation import FederationSettings
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.data.records import Dataset, Division
from fedprivacy.federation.environment import Environment
from fedprivacy.models.convolution import PooledConvolution, channels_last
from fedprivacy.training.learner import Seed, Workbench
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.transcript import MemoryStore

CLIENTS, TRAINED, PUBLIC = 5, 1347, 100
PLAIN = ("fedavg", "fml", "fedkd")
"""Protocols whose rounds are plainly written too."""
SHORT = {"feddf": {"steps": 100}}
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


def environment(name: str, rounds: int) -> Environment:
    """Five clients with 269 or 270 digits each, and public records."""
    epochs = {
        field: 1 for field, info in CARDS[name].options.model_fields.items() if "epochs" in field and info.default
    }
    config = RunConfig.model_validate(
        {
            "protocol": name,
            "options": {**epochs, **SHORT.get(name, {})},
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

    return Environment(FederationSettings.of(config), 0, dataset, division, members, Workbench(module, config.training))


def cost(name: str, rounds: int) -> tuple[float, float]:
    """Mean cpu-seconds of a round from the third on, and the operations of the second."""
    config = RunConfig(protocol=name)
    env, protocol = environment(name, rounds + 2), catalog.protocol(name, {**config.options, **SHORT.get(name, {})})
    protocol.check(env)
    state = protocol.init(env).state
    total, operations = 0.0, 0.0
    for number in range(1, rounds + 3):
        channel = Channel(number, MemoryStore())
        with FlopCounterMode(display=False) if number == 2 else nullcontext() as counter:
            start = time.process_time()
            state = protocol.round(state, number, env, channel).state
            spent = time.process_time() - start
        if counter is not None:
            operations = float(counter.get_total_flops())
        if number > 2:
            total += spent
    return total / rounds, operations


def plainly(name: str, count: int) -> tuple[float, float]:
    """Mean cpu-seconds of a plain round from the third on: with the look at all records, and without."""
    env = environment(name, 1)
    x, y = torch.from_numpy(env.dataset.x_train).float() / 255, torch.from_numpy(env.dataset.y_train)
    trained = [[(x[i], y[i]) for i in folds[0]] for folds in env.members]
    tested = [[(x[i], y[i]) for i in part] for part in np.array_split(np.arange(TRAINED, len(y)), CLIENTS)]
    found = list(itertools.islice(plain_rounds.rounds(name, trained, tested), count + 2))[2:]
    whole, looked = (sum(part) / count for part in zip(*found, strict=True))
    return whole, whole - looked


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


INTRODUCTION = """# What a round costs

Cpu-seconds of one thread; five clients share 1,347 scikit-learn digits padded to 28x28, a network of 582,026 parameters
with 5x5 kernels, batch 32, one local epoch of SGD. Regenerate: `python benchmarks/protocols.py --rounds 3 --out
reports/protocol_speed.md`; times vary from core to core and with what else runs there.

A round of FedAvg has 33.2 billion operations, so at the rate of the core's matrix products it cannot take less than
about 0.37 s. The largest convolution alone runs at that rate; the rest goes to pooling, to a dense layer that batches
of 32 do not fill, and to the optimiser. There are two times to beat, taken in the same call and the same way, as means
over as many rounds: the same rounds plainly written (`benchmarks/plain_rounds.py`, all libraries on one thread), and
these without the look at all training and test records that the library whose rounds they are takes in every round.
FML gains by detached targets (one backward pass a model instead of two), FedKD by that and by Gram matrices of updates
in the place of full decompositions of weights.

> **Erratum.** An earlier page divided a time given for TsingZ0/PFLlib on another core and another day by the best of
> three rounds of ours, and said that three, four and eight times less "hold". Side by side they do not: what holds is
> in the last two columns. The library itself is not timed here; the rounds beside ours are plain loops of our writing.
"""
HEAD = ("protocol", "cpu-s a round", "GFLOP", "GFLOP/s", "of matmul", "plain", "plain without look")


def row(name: str, rounds: int) -> list[str]:
    """One protocol's cells."""
    spent, operations = cost(name, rounds)
    reached = operations / spent
    cells = [name, f"{spent:.3f}", f"{operations / 1e9:.1f}", f"{reached / 1e9:.1f}", f"{reached / matmul_rate():.0%}"]
    if name not in PLAIN:
        return [*cells, "", ""]
    return [*cells, *(f"{other:.2f}, {other / spent:.1f} times" for other in plainly(name, rounds))]


def main() -> None:
    """Print a row a protocol."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that are timed; their mean counts")
    parser.add_argument("--only", default=",".join(CARDS), help="protocols, separated by commas")
    parser.add_argument("--out", type=Path, help="file for the table")
    parser.add_argument("--json", type=Path, help="file for the same rows as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1)
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    print("\n".join(lines), flush=True)
    rates, rows = [], []
    for name in arguments.only.split(","):
        rates.append(matmul_rate())
        rows.append(row(name, arguments.rounds))
        lines.append(f"| {' | '.join(rows[-1])} |")
        print(lines[-1], flush=True)
    lines.append(f"\nMatrix products of 1024 x 1024: {min(rates) / 1e9:.0f} to {max(rates) / 1e9:.0f} GFLOP/s.")
    print(lines[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps([dict(zip(HEAD, one, strict=True)) for one in rows], indent=2) + "\n")
    if arguments.out:
        arguments.out.write_text("\n".join([INTRODUCTION, *lines]) + "\n")


if __name__ == "__main__":
    main()
