"""A round of every protocol: operations, share of the rate of matrix products, and PFLlib's round beside it.

Five clients share 1,347 scikit-learn digits padded to 28x28; a network of 582,026 parameters with 5x5 kernels; batch
32, one epoch of SGD. Protocols with public records use 100 of the digits left over, one epoch too; a fusion of feddf
takes 10 steps. A round is everything between two checkpoints: local training, compression, encoding, aggregation.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import bare
import numpy as np
from federations import CLIENTS, TRAINED, digits, options
from measure import Cell, Figures, cpu, matmul_rate, peak_apart
from peer import SERVERS, TOGETHER, Peer, server
from torch.utils.flop_counter import FlopCounterMode

from fedprivacy import catalog
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.federation.environment import Environment
from fedprivacy.wire.channel import Channel
from fedprivacy.wire.transcript import MemoryStore

TURNS = 2
WHOSE = "fedavg"
"""The protocol whose kernels are timed alone too."""
SAME = {"fedkd": {"energy_end": 0.95}}
"""Options that make a round the peer's."""


class Ours:
    """A federation that is taken a few rounds on."""

    def __init__(self, name: str, env: Environment) -> None:
        self.env, self.number = env, 0
        self.protocol = catalog.protocol(name, {**options(name), **SAME.get(name, {})})
        self.protocol.check(env)
        self.state = self.protocol.init(env).state

    def rounds(self, count: int) -> None:
        """The next ones."""
        for _ in range(count):
            self.number += 1
            channel = Channel(self.number, MemoryStore())
            self.state = self.protocol.round(self.state, self.number, self.env, channel).state


def cost(name: str, library: Path | None) -> Figures:
    """Cpu-seconds of a round, both sides taken in turn; the first round of each does not count.

    The memory of each side is that of a process that sets it up and takes it three rounds on, and does nothing else.
    """
    turns = TURNS if library is not None and name in SERVERS else 1
    env = digits(name, 1 + TOGETHER * turns)
    memory = {"memory_mb": peak_apart(lambda: Ours(name, env).rounds(1 + TOGETHER))}
    if library is not None and name in SERVERS:
        server(library, name)  # its imports are no part of its memory, as ours are not
        memory["pfllib_mb"] = peak_apart(lambda: beside(name, env, library).rounds())
    ours = Ours(name, env)
    with FlopCounterMode(display=False) as counter:
        ours.rounds(1)
    operations = float(counter.get_total_flops())
    peer = beside(name, env, library) if library is not None and name in SERVERS else None
    if peer is not None:
        peer.rounds()
    kernels = bare.round_of(TRAINED // CLIENTS, CLIENTS) if name == WHOSE else None
    if kernels is not None:
        kernels()
    found, theirs, rates, least = [], [], [], []
    for _ in range(turns):
        rates.append(matmul_rate())
        found.append(cpu(lambda: ours.rounds(TOGETHER)) / TOGETHER)
        theirs.append(peer.rounds() if peer is not None else (0.0, 0.0))
        least.append(cpu(kernels) if kernels is not None else 0.0)
    spent, bound = float(np.mean(found)), operations / float(np.mean(rates))
    figures = {"cpu_s": spent, **memory, "gflop": operations / 1e9, "of_matmul": bound / spent, "matmul_bound_s": bound}
    if kernels is not None:
        figures["kernels_s"] = float(np.mean(least))
    if peer is None:
        return figures
    whole, without = np.mean(theirs, axis=0)
    return {**figures, "pfllib_s": float(whole), "pfllib_without_look_s": float(without)}


def beside(name: str, env: Environment, library: Path) -> Peer:
    """The library's federation on the same records."""
    x, y = env.dataset.x_train.astype(np.float32) / 255, env.dataset.y_train
    trained = [(x[i], y[i]) for (i,) in env.members]
    tested = [(x[i], y[i]) for i in np.array_split(np.arange(TRAINED, len(y)), CLIENTS)]
    return Peer(library, name, trained, tested)


def cells(library: Path | None) -> list[Cell]:
    """One a protocol."""
    return [Cell(f"round of {name}", partial(cost, name, library)) for name in CARDS]
