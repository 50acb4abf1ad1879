"""Cpu-milliseconds of solving for all ridges of joint decoding: one eigen decomposition, or a factor for each."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.attacks.membership.joint.solve import RIDGES, solutions

SIDES, TURNS = 5, 3


def factorised(gram: Tensor, sides: Tensor) -> list[Tensor]:
    """The same log-odds by a Cholesky factor and an inverse for each ridge."""
    mean, found = float(gram.diagonal().mean()), []
    for ridge in RIDGES:
        shifted = gram.clone()
        shifted.diagonal().add_(ridge * mean)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(shifted))
        found.append((sides @ inverse) / inverse.diagonal())
    return found


def cost(work: Callable[[], object]) -> float:
    """The least of some turns."""
    spent = []
    for _ in range(TURNS):
        begun = time.thread_time()
        work()
        spent.append(time.thread_time() - begun)
    return min(spent) * 1e3


def main() -> None:
    """Print the figures."""
    torch.set_num_threads(1)
    draw = seeds.generator(0, "ridges")
    for number in (400, 800, 1600):
        rows = torch.randn(number, 2 * number, generator=draw, dtype=torch.float64)
        gram, sides = rows @ rows.T, torch.randn(SIDES, number, generator=draw, dtype=torch.float64)
        whole, each = cost(lambda: list(solutions(gram, sides))), cost(lambda: factorised(gram, sides))  # noqa: B023
        pairs = zip(solutions(gram, sides), factorised(gram, sides), strict=True)
        apart = max(float((one - two).abs().max() / one.abs().max()) for (_, one), two in pairs)
        print(f"{number} records: one decomposition {whole:.0f}, a factor a ridge {each:.0f}, apart by {apart:.0e}")


if __name__ == "__main__":
    main()
