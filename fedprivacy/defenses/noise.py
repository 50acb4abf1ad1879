"""The noise of a defense, from a named seed: for measurement only, since who knows the seed can take it off again.

The name ends in a digest of what is to be noised. Two different payloads never share noise, whatever the order in
which they are sent, so nobody can cancel it by subtraction; and the same payload sent again carries the same noise,
which is no second release.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from fedprivacy import seeds
from fedprivacy.wire.codec import encode
from fedprivacy.wire.payload import Payload

LEAST = 1e-6
"""Deviation that noise which is off is taken to have, where something is divided by it."""


def stream(root: int, defense: str, payload: Payload, sender: str, round: int) -> torch.Generator:
    """Generator for the noise of ``defense`` on ``payload``."""
    digest = hashlib.sha256(encode(payload)).hexdigest()[:32]
    return seeds.generator(root, "defense", defense, sender, "round", round, digest)


def gaussian(shape: torch.Size, deviation: float, source: torch.Generator) -> Tensor:
    """N(0, deviation^2), float64."""
    return torch.randn(shape, generator=source, dtype=torch.float64) * deviation


def laplace(shape: torch.Size, scale: float, source: torch.Generator) -> Tensor:
    """Laplace(0, scale), float64: the difference of two exponentials."""
    first, second = (torch.empty(shape, dtype=torch.float64).exponential_(generator=source) for _ in range(2))
    return (first - second) * scale
