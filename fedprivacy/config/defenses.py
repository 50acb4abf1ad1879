"""Settings of each defense, and the budget that noise is calibrated to. No torch in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from fedprivacy.config.base import Part
from fedprivacy.config.run import DefenseConfig


@dataclass(frozen=True)
class Budget:
    """How much noise: ``epsilon`` for the whole run at ``delta``, or ``sigma`` as the noise multiplier; or neither."""

    epsilon: float | None
    sigma: float | None
    delta: float

    @classmethod
    def of(cls, config: DefenseConfig) -> Budget:
        """The budget in a configuration."""
        return cls(config.epsilon, config.sigma, config.delta)


class NoOptions(Part):
    """A defense without settings of its own."""


class GaussianOptions(Part):
    """Gaussian noise on whole prediction matrices."""

    clip: float | None = Field(default=None, gt=0)
    """Largest Frobenius norm of one client's centred matrix. none: the norm that probabilities cannot exceed; logits
    and losses have none and need a figure that does not come from private data."""
    placement: Literal["local", "aggregator"] = "local"
    """local: each client adds noise before its matrix leaves. aggregator: a trusted server adds less, to the mean;
    that protects against the receivers, not against the server."""
    unit: Literal["record", "client"] = "record"
    """Whom the claim is about. One record may change every prediction, so both cost the same."""
    project: bool = True
    """Bring noisy probabilities back to the nearest distribution, which costs no privacy; off: as noised."""


class LaplaceOptions(Part):
    """Laplace noise on whole prediction matrices."""

    clip: float | None = Field(default=None, gt=0)
    """Largest sum of absolute entries of one client's centred matrix. none: what probabilities cannot exceed."""
    unit: Literal["record", "client"] = "record"
    """Whom the claim is about. One record may change every prediction, so both cost the same."""
    project: bool = True
    """Bring noisy probabilities back to the nearest distribution, which costs no privacy; off: as noised."""


class RandomizedResponseOptions(Part):
    """Randomised response on predicted labels."""

    epsilon0: float | None = Field(default=None, gt=0)
    """Privacy of one label, instead of an epsilon for the whole run."""


class DpFedAvgOptions(Part):
    """Clipped and noised updates (McMahan et al. 2018, arXiv 1710.06963)."""

    clip: float = Field(default=1.0, gt=0)
    """Largest L2 norm of one client's update over all tensors."""
    placement: Literal["local", "aggregator"] = "local"
    """local: each client adds noise before its update leaves. aggregator: a trusted server adds less, to the mean;
    that protects against the receivers, not against the server."""


class DpSgdOptions(Part):
    """Differentially private training (Abadi et al. 2016, arXiv 1607.00133)."""

    max_grad_norm: float = Field(default=1.0, gt=0)
    """Largest L2 norm of one record's gradient."""
    batch_size: int | None = Field(default=None, ge=1)
    """Expected records of one step; none: training.batch_size."""
    sampling: Literal["poisson", "partition"] = "poisson"
    """poisson: each record enters each batch by its own coin. partition: each record enters one batch of an epoch;
    cheaper where a batch is a large part of the records."""
    layers: Literal["all", "head"] = "all"
    """head: train the last layer alone, on features that stay as they are; far less noise in all."""
    engine: Literal["auto", "func", "opacus", "ghost"] = "auto"
    """auto: one recorded backward pass. func: torch.func over the whole model. opacus, ghost: the hooks of Opacus.
    Where an engine does not cover a model, func takes over, and one pass a record where that cannot."""


class QuantiseOptions(Part):
    """Predictions in few bits."""

    bits: Literal[1, 2, 4, 8] = 8
    """Bits of one probability, uniform levels from 0 to 1; packed on the wire."""


class TopKOptions(Part):
    """Only the largest probabilities of each record."""

    k: int = Field(default=1, ge=1)
    """Classes of a record that are sent; the others share the rest evenly."""


class TemperatureOptions(Part):
    """Softened (or, below 1, sharpened) predictions."""

    temperature: float = Field(default=5.0, gt=0)
    """Logits are divided by this."""


class MemGuardOptions(Part):
    """Label-preserving perturbation after MemGuard (Jia et al. 2019, arXiv 1909.10594)."""

    distortion: float = Field(default=0.5, ge=0, le=2)
    """Largest expected L1 distance between a record's true and sent probabilities."""


class GradientPruningOptions(Part):
    """Updates without their small entries (Zhu et al. 2019, arXiv 1906.08935)."""

    share: float = Field(default=0.9, ge=0, lt=1)
    """Part of all entries, the smallest, that is set to zero."""


class GradientNoiseOptions(Part):
    """Gaussian noise on updates without a clip bound (Zhu et al. 2019, arXiv 1906.08935)."""

    deviation: float = Field(default=1e-2, ge=0)
    """Standard deviation of the noise on every entry."""


class SecureAggregationOptions(Part):
    """Pairwise masks (Bonawitz et al. 2017)."""

    range: float = Field(default=16.0, gt=0)
    """Largest absolute value that is sent; fixes the step of the fixed-point numbers."""
    threshold: float = Field(default=0.5, gt=0, le=1)
    """Share of a round's participants that must still be there at the end for the sum to be opened."""


class NfdpOptions(Part):
    """Training on a random part of the records (FedMD-NFDP, arXiv 2009.05537)."""

    share: float = Field(default=0.4, gt=0, le=1)
    """k/n: part of each private fold that is drawn, once."""
    k: int | None = Field(default=None, ge=1)
    """Records that are drawn, instead of a share."""
    replacement: bool = False
    """Draw with replacement."""

    @model_validator(mode="after")
    def _one_of(self) -> NfdpOptions:
        if self.k is not None and "share" in self.model_fields_set:
            raise ValueError("give share or k, not both")
        return self
