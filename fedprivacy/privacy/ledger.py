"""All noise that one set of records is under, added up by kind: what the accountants take in.

Gaussian releases of any sort add up to one number (Dong, Roth and Su 2022, arXiv 1905.02383, Corollary 3.3); the rest
is counted by its parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fedprivacy.privacy.mechanisms import (
    Gaussian,
    GaussianHistogramVote,
    Laplace,
    Mechanism,
    NoNoise,
    PoissonSampledGaussian,
    PostProcessing,
    RandomizedResponse,
    SubsampleWithoutNoise,
)

Counts = tuple[tuple[tuple[float, ...], int], ...]
"""((parameters, how often), ...), sorted."""


@dataclass(frozen=True)
class Ledger:
    """Noise by kind. Equal ledgers cost the same, so a cost is computed once for all clients that share it."""

    bare: bool = False
    """Something left without noise."""
    mu_squared: float = 0.0
    """Sum of (sensitivity / standard deviation)^2 over the Gaussian releases."""
    laplace: Counts = ()
    """((epsilon,), releases)"""
    response: Counts = ()
    """((epsilon0, classes), labels)"""
    sampled: Counts = ()
    """((noise multiplier, q), steps)"""

    @property
    def gaussian_only(self) -> bool:
        """Whether the closed form is the whole answer."""
        return not (self.bare or self.laplace or self.response or self.sampled)

    @property
    def pure(self) -> float | None:
        """Sum of the pure epsilons where nothing else is in here: a bound for any delta."""
        if self.bare or self.mu_squared or self.sampled:
            return None
        return sum(key[0] * n for key, n in self.laplace) + sum(key[0] * n for key, n in self.response)


def ledger(mechanisms: Iterable[Mechanism]) -> Ledger:
    """Add up ``mechanisms``. Raises TypeError for one that it does not know."""
    bare, mu_squared = False, 0.0
    laplace: dict[tuple[float, ...], int] = {}
    response: dict[tuple[float, ...], int] = {}
    sampled: dict[tuple[float, ...], int] = {}
    for m in mechanisms:
        if isinstance(m, NoNoise | SubsampleWithoutNoise):
            bare = True
        elif isinstance(m, Gaussian):
            mu_squared += m.noise_multiplier**-2
        elif isinstance(m, GaussianHistogramVote):
            mu_squared += 2 * m.votes / m.deviation**2
        elif isinstance(m, PoissonSampledGaussian) and m.q == 1:
            mu_squared += m.steps / m.noise_multiplier**2
        elif isinstance(m, PoissonSampledGaussian):
            _count(sampled, (m.noise_multiplier, m.q), m.steps)
        elif isinstance(m, Laplace):
            _count(laplace, (m.epsilon,), 1)
        elif isinstance(m, RandomizedResponse):
            _count(response, (m.epsilon0, m.classes), m.labels)
        elif not isinstance(m, PostProcessing):
            raise TypeError(f"no accountant knows {type(m).__name__}")
    return Ledger(bare, mu_squared, _sorted(laplace), _sorted(response), _sorted(sampled))


def _count(counts: dict[tuple[float, ...], int], key: tuple[float, ...], number: int) -> None:
    counts[key] = counts.get(key, 0) + number


def _sorted(counts: dict[tuple[float, ...], int]) -> Counts:
    return tuple(sorted(counts.items()))
