"""Named seeds: every random number of a run comes from a name, so the order of the work never matters.

``value(root, "client", 3, "round", 7)`` is the first 63 bits of the SHA-256 of the root and the name. Two names
share no stream, and adding a consumer of randomness changes no other consumer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

Name = str | int


def value(root: int, *name: Name) -> int:
    """A 63-bit seed for ``name`` under ``root``; the types of the parts count (``1`` and ``"1"`` differ)."""
    text = "\x1f".join([repr(int(root)), *(repr(part) for part in name)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(root: int, *name: Name) -> torch.Generator:
    """A CPU torch generator for ``name`` under ``root``."""
    return torch.Generator().manual_seed(value(root, *name))


def numpy_generator(root: int, *name: Name) -> np.random.Generator:
    """A numpy generator for ``name`` under ``root``."""
    return np.random.default_rng(value(root, *name))


@contextmanager
def torch_scope(root: int, *name: Name) -> Iterator[None]:
    """Run a block with torch's global stream seeded by ``name``, and put the old stream back afterwards.

    For library code that takes no generator (dropout, layer initialisation). CPU and, where used, CUDA.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        _seed(value(root, *name))
        yield


def _seed(number: int) -> None:
    """``torch.manual_seed`` where there is something to seed: for absent devices that notes a stack trace each time."""
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(number)
