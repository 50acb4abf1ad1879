"""A piece of independent work, and what is told of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Tick = Callable[[str, int], None]
"""(job name, units done so far)."""


class WorkerLost(Exception):
    """A worker process died (for lack of memory, or killed); finished work is on disk."""


@dataclass(frozen=True)
class Job:
    """A function ``module:name`` called with ``arguments`` and a ``tick`` callback; ``units`` is its expected work.

    By name and with plain arguments, so that it can go to another process.
    """

    name: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    units: int = 1


def call(job: Job, tick: Callable[[int], None]) -> Any:
    """Do it here."""
    module, _, name = job.function.partition(":")
    return getattr(importlib.import_module(module), name)(tick=tick, **job.arguments)


def set_threads(threads: int) -> None:
    """How many threads torch uses in this process."""
    import torch

    torch.set_num_threads(threads)
