"""What a release did to its values, as frozen values that the accountant can read.

A noise multiplier is a standard deviation over the true L2 sensitivity of the release, under the unit and relation
that the event names. Nothing here knows a protocol.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class NoNoise:
    """A release that depends on private data and has no noise: no finite epsilon holds."""


@dataclass(frozen=True)
class PostProcessing:
    """Computed from releases that are paid for elsewhere, public data and received messages alone: costs nothing."""


@dataclass(frozen=True)
class Gaussian:
    """Every entry plus N(0, (noise_multiplier * L2 sensitivity)^2)."""

    noise_multiplier: float

    def __post_init__(self) -> None:
        _positive("noise_multiplier", self.noise_multiplier)


@dataclass(frozen=True)
class Laplace:
    """Every entry plus Laplace noise of scale ``L1 sensitivity / epsilon``: purely epsilon-private."""

    epsilon: float

    def __post_init__(self) -> None:
        _positive("epsilon", self.epsilon)


@dataclass(frozen=True)
class RandomizedResponse:
    """``labels`` class labels, each kept with e^e0 / (e^e0 + C - 1) and otherwise another class, all equally likely.

    The likelihood ratio of one label is at most e^epsilon0 whatever its two inputs, so the figure holds for
    add-remove as for replace-one when the labels come from a trained model.
    """

    epsilon0: float
    classes: int
    labels: int = 1

    def __post_init__(self) -> None:
        _positive("epsilon0", self.epsilon0)
        if self.classes < 2 or self.labels < 1:
            raise ValueError("randomised response needs two classes or more and one label or more")


@dataclass(frozen=True)
class PoissonSampledGaussian:
    """``steps`` noisy sums over batches into which each record comes by its own coin of probability ``q``.

    Abadi et al. 2016 (arXiv 1607.00133). Only for real Poisson sampling: shuffled batches of fixed size are not.
    """

    noise_multiplier: float
    q: float
    steps: int

    def __post_init__(self) -> None:
        _positive("noise_multiplier", self.noise_multiplier)
        if not 0 < self.q <= 1 or self.steps < 1:
            raise ValueError("q must be in (0, 1] and steps at least 1")


@dataclass(frozen=True)
class GaussianHistogramVote:
    """``votes`` tallies of one vote a client, every count plus N(0, deviation^2), of which only the argmax leaves.

    One client's changed vote moves two counts by one, hence L2 sensitivity sqrt(2) a tally (Papernot et al. 2018,
    arXiv 1802.08908). Every tally counts: the data-dependent bounds of that paper would themselves be private.
    """

    deviation: float
    votes: int

    def __post_init__(self) -> None:
        _positive("deviation", self.deviation)
        if self.votes < 1:
            raise ValueError("votes must be at least 1")


@dataclass(frozen=True)
class SubsampleWithoutNoise:
    """Training on ``k`` of ``n`` records and releasing without noise (FedMD-NFDP, arXiv 2009.05537)."""

    n: int
    k: int
    replacement: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n:
            raise ValueError("k of n records: 1 <= k <= n")


Mechanism = (
    NoNoise
    | PostProcessing
    | Gaussian
    | Laplace
    | RandomizedResponse
    | PoissonSampledGaussian
    | GaussianHistogramVote
    | SubsampleWithoutNoise
)

MECHANISMS: dict[str, type[Mechanism]] = {
    kind.__name__: kind
    for kind in (
        NoNoise,
        PostProcessing,
        Gaussian,
        Laplace,
        RandomizedResponse,
        PoissonSampledGaussian,
        GaussianHistogramVote,
        SubsampleWithoutNoise,
    )
}
"""Every mechanism by the name that a stored event carries."""


def _positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, not {value}")
