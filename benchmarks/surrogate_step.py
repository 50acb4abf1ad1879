"""Cpu-milliseconds of a step of one model 784-256-10 on MNIST: five surrogates at once, public and private phase.

With ``--at-once 1,5,20`` of so many surrogates. With ``--parts`` also what a surrogate's step is made of, each part
alone and so with all its numbers in the cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch

from fedprivacy import seeds
from fedprivacy.attacks.membership.distillation import BATCH, Divergence
from fedprivacy.config.protocols import MutualOptions
from fedprivacy.config.run import DataConfig, TrainingConfig
from fedprivacy.data.sources import load
from fedprivacy.models.build import build
from fedprivacy.protocols.mutual import Peer, peer_loss
from fedprivacy.training.fleet import Member, train_fleet
from fedprivacy.training.learner import Records, Workbench, normalised
from fedprivacy.training.narrow import columns_in_use
from fedprivacy.training.optimiser import Optimiser
from fedprivacy.training.sparse import SparseRecords

PASSES, TURNS = 20, 4


def cost(work: Callable[[], object], steps: int) -> float:
    """The least of some turns, in milliseconds a step."""
    found = []
    for _ in range(TURNS):
        begun = time.thread_time()
        work()
        found.append(time.thread_time() - begun)
    return min(found) / steps * 1e3


def parts(records: Records) -> None:
    """Print what the first layer of one surrogate costs in a step, and Adam on it."""
    columns = columns_in_use([records.x], TrainingConfig())
    assert columns is not None
    x = normalised(torch.from_numpy(records.x)).flatten(1)[:, columns].contiguous()
    (batch,) = SparseRecords(x).batches(torch.arange(BATCH), [slice(0, BATCH)])
    whole, draw = x[:BATCH].clone(), seeds.generator(0, "parts")
    weight, slope = torch.randn(len(columns), 256, generator=draw), torch.randn(BATCH, 256, generator=draw)
    optimiser, gradient = Optimiser([weight.clone()], TrainingConfig()), torch.randn(weight.shape, generator=draw)

    def milliseconds(*work: Callable[[], object], times: int = 50) -> float:
        return sum(cost(lambda one=one: [one() for _ in range(times)], times) for one in work)  # type: ignore[misc]

    filled = int((whole != 0).sum())
    print(f"{len(columns)} columns, {filled} numbers in a batch: products", end=" ")
    print(f"{milliseconds(lambda: whole @ weight, lambda: whole.T @ slope):.2f} whole,", end=" ")
    print(f"{milliseconds(lambda: batch.rows.times(weight), lambda: batch.columns.times(slope)):.2f} sparse,", end=" ")
    print(f"Adam {milliseconds(lambda: optimiser.apply([gradient])):.2f}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", default="5", help="surrogates in a stack, separated by commas [default: 5]")
    parser.add_argument("--parts", action="store_true", help="what a surrogate's step is made of")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load(DataConfig())
    order = seeds.numpy_generator(0, "records").permutation(len(data.x_train))
    bench = Workbench(lambda name, seed: build(name, (1, 28, 28), 10, "softmax", seed[0], *seed[1]), TrainingConfig())
    start, draw = bench.initial("mlp", (0, ("start",))), seeds.generator(0, "answers")

    def records(first: int, last: int) -> Records:
        return Records(data.x_train[order[first:last]], data.y_train[order[first:last]])

    def answers(number: int) -> torch.Tensor:
        return torch.log_softmax(torch.randn(number, 10, generator=draw), 1)

    if given.parts:
        parts(records(0, 768))
    surrogates = bench.with_training(TrainingConfig(batch_size=BATCH))

    def step(number: int) -> float:
        members = [Member(start, records(0, 768), (0, ("fit",)), answers(768)) for _ in range(number)]
        fit = partial(train_fleet, surrogates, "mlp", members, PASSES, Divergence())
        return cost(fit, number * PASSES * 12)

    fleet = ", ".join(f"{step(int(number)):.2f}" for number in given.at_once.split(","))
    loss = peer_loss([Peer(answers(64)) for _ in range(4)], MutualOptions())
    public = cost(lambda: bench.learner("mlp", start).fit(records(768, 832), 5, (0, ("public",)), loss), 10)
    private = cost(lambda: bench.learner("mlp", start).fit(records(832, 1032), 2, (0, ("private",))), 14)
    print(f"surrogate {fleet}, public phase {public:.2f}, private phase {private:.2f}")


if __name__ == "__main__":
    main()
