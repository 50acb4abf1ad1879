"""How everything is measured: cpu-seconds of one thread, peak memory of a process of its own, exponents of growth."""

from __future__ import annotations

import multiprocessing
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from fedprivacy import seeds

Made = TypeVar("Made")

Figures = Mapping[str, float]
"""What a cell found, by name; ``cpu_s`` always, ``size`` where a series grows."""


@dataclass(frozen=True)
class Cell:
    """One measurement, made in a process of its own. Cells whose names differ behind the last slash are a series."""

    name: str
    work: Callable[[], Figures]


@dataclass
class Memory:
    """Peak memory above what the process held when it began."""

    start: float = 0.0

    def begin(self) -> None:
        """From now on."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.start = pages * resource.getpagesize() / 1e6

    def peak(self) -> float:
        """Megabytes, up to now."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 - self.start

    def whole(self) -> float:
        """Megabytes of all that the process ever held at once, imports too."""
        return self.start + self.peak()


MEMORY = Memory()


def peak_apart(work: Callable[[], object]) -> float:
    """Megabytes that ``work`` takes in a process of its own, on top of what this one holds.

    So that counters, products that are timed, and the other side of a ratio are no part of it.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def there() -> None:
        memory = Memory()
        memory.begin()
        work()
        theirs.send(memory.peak())

    process = context.Process(target=there)
    process.start()
    theirs.close()
    found: float = ours.recv()
    process.join()
    return found


def here() -> dict[str, str]:
    """What measures: the processor and torch."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor()
    return {"processor": f"{name}, {torch.backends.cpu.get_cpu_capability()}", "torch": torch.__version__}


def cpu(work: Callable[[], object]) -> float:
    """Cpu-seconds of ``work``."""
    start = time.process_time()
    work()
    return time.process_time() - start


def least(work: Callable[[], Made], repeats: int) -> tuple[Made, float]:
    """What came of ``work`` the last of ``repeats`` times, and the cpu-seconds of the fastest."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        made = work()
        spent.append(time.process_time() - start)
    return made, min(spent)


def in_turn(works: Sequence[Callable[[], object]], turns: int) -> list[float]:
    """Mean cpu-seconds of each of ``works``, done one after the other ``turns`` times; a first turn does not count."""
    found = np.array([[cpu(work) for work in works] for _ in range(turns + 1)])
    return [float(mean) for mean in found[1:].mean(axis=0)]


def matmul_rate(side: int = 1024, repeats: int = 5) -> float:
    """Floating-point operations a second of float32 matrix products on one thread, best of the repeats."""
    draw = seeds.generator(0, "benchmark", "matmul")
    a, b = torch.randn(side, side, generator=draw), torch.randn(side, side, generator=draw)
    return 2 * side**3 / least(lambda: torch.mm(a, b), repeats)[1]


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """``e`` of the power ``cost ~ size ** e`` that fits best, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])
