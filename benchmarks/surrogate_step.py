"""Cpu-milliseconds of a step of one model 784-256-10 on MNIST: five surrogates at once, public and private phase."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from fedprivacy import seeds
from fedprivacy.attacks.membership.distillation import BATCH, Divergence
from fedprivacy.config.protocols import MutualOptions
from fedprivacy.config.run import DataConfig, TrainingConfig
from fedprivacy.data.sources import load
from fedprivacy.models.build import build
from fedprivacy.protocols.mutual import Peer, peer_loss
from fedprivacy.training.fleet import Member, train_fleet
from fedprivacy.training.learner import Records, Workbench

PASSES, TURNS = 20, 4


def cost(work: Callable[[], object], steps: int) -> float:
    """The least of some turns, in milliseconds a step."""
    found = []
    for _ in range(TURNS):
        begun = time.thread_time()
        work()
        found.append(time.thread_time() - begun)
    return min(found) / steps * 1e3


def main() -> None:
    """Print the three figures."""
    torch.set_num_threads(1)
    data = load(DataConfig())
    order = seeds.numpy_generator(0, "records").permutation(len(data.x_train))
    bench = Workbench(lambda name, seed: build(name, (1, 28, 28), 10, "softmax", seed[0], *seed[1]), TrainingConfig())
    start, draw = bench.initial("mlp", (0, ("start",))), seeds.generator(0, "answers")

    def records(first: int, last: int) -> Records:
        return Records(data.x_train[order[first:last]], data.y_train[order[first:last]])

    def answers(number: int) -> torch.Tensor:
        return torch.log_softmax(torch.randn(number, 10, generator=draw), 1)

    members = [Member(start, records(0, 768), (0, ("fit",)), answers(768)) for _ in range(5)]
    surrogates = bench.with_training(TrainingConfig(batch_size=BATCH))
    fleet = cost(lambda: train_fleet(surrogates, "mlp", members, PASSES, Divergence()), 5 * PASSES * 12)
    loss = peer_loss([Peer(answers(64)) for _ in range(4)], MutualOptions())
    public = cost(lambda: bench.learner("mlp", start).fit(records(768, 832), 5, (0, ("public",)), loss), 10)
    private = cost(lambda: bench.learner("mlp", start).fit(records(832, 1032), 2, (0, ("private",))), 14)
    print(f"surrogate {fleet:.2f}, public phase {public:.2f}, private phase {private:.2f}")


if __name__ == "__main__":
    main()
