"""What each release costs, as frozen values; the accountant folds them once, at the end of a run.

A release without noise is an event too: its epsilon is infinite. Importing this costs nothing; the accountant
(:mod:`fedprivacy.privacy.accountant`) loads the libraries that do the sums.
"""

from __future__ import annotations

from fedprivacy.privacy.events import PrivacyEvent, Relation, Unit, event_from_json, event_to_json, settled
from fedprivacy.privacy.mechanisms import (
    MECHANISMS,
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

__all__ = [
    "MECHANISMS",
    "Gaussian",
    "GaussianHistogramVote",
    "Laplace",
    "Mechanism",
    "NoNoise",
    "PoissonSampledGaussian",
    "PostProcessing",
    "PrivacyEvent",
    "RandomizedResponse",
    "Relation",
    "SubsampleWithoutNoise",
    "Unit",
    "event_from_json",
    "event_to_json",
    "settled",
]
